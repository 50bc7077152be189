"""SavedModel versions that a run writes at intervals, with all checks of an export; the last few are kept."""

from __future__ import annotations

import json
import time
from pathlib import Path

from fullrank.data.events.event_columns import Batch
from fullrank.data.files.write_aside import remove_directory
from fullrank.models import Ranker
from fullrank.models.serving import export_model
from fullrank.models.serving.export import next_version
from fullrank.models.serving.sample_rows import drawn_rows
from fullrank.trainers.run.run_directory import write_json


class Versions:
    """Exports at intervals of steps or minutes.

    The numbers of the versions are recorded before these are written, so that those of a killed run are also removed in
    turn, and those of another run never.

    Args:
      directory: Directory of the versions.
      file: File that records their numbers.
      minutes: Minutes between two versions.
      steps: Steps between two versions, not minutes; `None` for minutes.
      keep: Versions of this run to keep.
    """

    def __init__(self, directory: Path, *, file: Path, minutes: float, steps: int | None, keep: int) -> None:
        self._directory, self._file, self._steps, self._keep = directory, file, steps, keep
        self._seconds = 60.0 * minutes
        self._last = time.monotonic()

    def due(self, step: int) -> bool:
        """Whether a version should be made after a step."""
        if self._steps is not None:
            return step % self._steps == 0
        return time.monotonic() - self._last >= self._seconds

    def export(self, model: Ranker, *, rows: Batch | None) -> Path:
        """Makes a version, and removes the oldest ones of this run.

        Args:
          model: The current model.
          rows: Recent clicks to warm up and to compare with; drawn from the schema's statistics if `None`.
        """
        version = next_version(self._directory)
        made = [*self._made(), version]
        write_json(made, self._file)
        if rows is None:
            rows = drawn_rows(model.schema, number=1)
        exported = export_model(model, output=self._directory, rows=rows, version=version)
        there = [number for number in dict.fromkeys(made) if (self._directory / str(number)).is_dir()]
        for number in there[: -self._keep]:
            remove_directory(self._directory / str(number))
        write_json(there[-self._keep :], self._file)
        self._last = time.monotonic()
        return exported.path

    def _made(self) -> list[int]:
        return [int(number) for number in json.loads(self._file.read_text())] if self._file.exists() else []
