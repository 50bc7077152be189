"""The predictions of a run for a split of records, made by a command in a separate process.

An analysis does not import models: it runs the command `fullrank predict`, as a user would, and reads the resulting
file.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

ENDING: Final = "_probability"
_ROWS: Final = 65536


def score_run(
    run: str | Path, *, data: str | Path | None, split: str, output: Path, columns: Sequence[str] = ()
) -> Path:
    """Scores a split with a run's best weights.

    Args:
      run: Run directory, or a Parquet file of predictions, which is used as it is.
      data: Directory of the records; `None` for the one that the run was trained on.
      split: Split to score.
      output: Parquet file to write.
      columns: Columns to copy in addition to keys and labels.

    Returns:
      The file of predictions.

    Raises:
      ValueError: If it cannot be scored, with the command's own message.
    """
    if Path(run).suffix == ".parquet":
        return Path(run)
    command = [sys.executable, "-m", "fullrank", "predict", f"--run={run}", f"--split={split}"]
    command += [f"--output={output}", *([] if data is None else [f"--data={data}"])]
    command += [f"--columns={','.join(columns)}"] if columns else []
    # The program is this interpreter, and the arguments are passed on without a shell.
    done = subprocess.run(command, check=False, capture_output=True, text=True)  # noqa: S603
    if done.returncode:
        said = [line for line in done.stderr.splitlines() if line.startswith("error: ")] or done.stderr.splitlines()
        raise ValueError(f"{run} cannot be scored: {said[-1].removeprefix('error: ') if said else 'it was ended.'}")
    return output


class ScoreReader:
    """Reads the probabilities of one task in the order of the records, in parts of any size.

    Args:
      file: Predictions written by `fullrank predict`.
      task: The task.

    Raises:
      ValueError: If the file has none.
    """

    def __init__(self, file: Path, *, task: str) -> None:
        self._file, self._task = file, task
        try:
            self._parquet = pq.ParquetFile(file)
        except (OSError, pa.ArrowInvalid) as error:
            raise ValueError(f"{file} is not a Parquet file of predictions: {error}.") from error
        names = self._parquet.schema_arrow.names
        if f"{task}{ENDING}" not in names:
            tasks = [name.removesuffix(ENDING) for name in names if name.endswith(ENDING)]
            raise ValueError(
                f"{file} has no predictions of {task!r}. Binary tasks in it: {', '.join(tasks) or 'none'}."
            )
        self._labelled = task in names
        self._parts = self._read()
        self._left: tuple[npt.NDArray[Any], npt.NDArray[Any]] = (np.empty(0), np.empty(0))

    def take(self, labels: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
        """The next probabilities, `[B]`.

        Args:
          labels: `[B]`, labels of the records, by which a file of other records is detected.

        Raises:
          ValueError: If the file belongs to other records.
        """
        scores, known = self._left
        while len(scores) < len(labels):
            part = next(self._parts, None)
            if part is None:
                raise ValueError(
                    f"{self._file} has fewer rows than the records: it belongs to another split or data set."
                )
            scores, known = np.concatenate([scores, part[0]]), np.concatenate([known, part[1]])
        number = len(labels)
        self._left = scores[number:], known[number:]
        if self._labelled and not np.array_equal(known[:number], labels.astype(np.float64), equal_nan=True):
            raise ValueError(
                f"{self._file} has other labels of {self._task!r} than the records: it belongs to other data."
            )
        return scores[:number]

    def _read(self) -> Iterator[tuple[npt.NDArray[Any], npt.NDArray[Any]]]:
        names = [f"{self._task}{ENDING}", *([self._task] if self._labelled else [])]
        for batch in self._parquet.iter_batches(_ROWS, columns=names):
            columns = [batch.column(name).to_numpy(zero_copy_only=False).astype(np.float64) for name in names]
            yield columns[0], columns[-1]
