"""The files of a run directory, most of which may be missing."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any, Final

EXTRA: Final = {
    "evaluation": ("eval.json", "evaluate --run={run} --json={run}/eval.json"),
    "conflicts": ("conflicts/conflicts.json", "conflicts --run={run} --output={run}/conflicts"),
    "importance": ("importance/importance.json", "importance --run={run} --output={run}/importance"),
    "inspect": ("inspect/parts.json", "inspect-run --run={run} --json={run}/inspect/parts.json"),
    "groups": ("groups/groups.json", "groups --run={run} --output={run}/groups"),
    "entanglement": (
        "entanglement/entanglement.json",
        "entanglement --first=TASK:RUN --second=TASK:RUN --runs=this:{run} --user=USER --item=ITEM "
        "--output={run}/entanglement",
    ),
    "correlation": (
        "correlation/correlation.json",
        "correlation --data={data} --split=test --runs=this:{run} --output={run}/correlation",
    ),
}
"""Part -> its file below the run, and the command that writes it."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class RunFiles:
    """The contents of a run directory.

    Attributes:
      path: The run directory.
      config: `config.json`.
      schema: `schema.json`.
      result: `result.json`; `None` for a run that is not finished.
      lines: Lines of `metrics.jsonl`.
      parts: Name of a part, as in `EXTRA` -> its content.
    """

    path: Path
    config: dict[str, Any]
    schema: dict[str, Any]
    result: dict[str, Any] | None
    lines: tuple[dict[str, Any], ...]
    parts: dict[str, dict[str, Any]]

    @property
    def model(self) -> dict[str, Any]:
        """Settings of the model."""
        found: dict[str, Any] = self.config["config"]["model"]
        return found

    @property
    def data(self) -> str:
        """Directory of the records that it was trained on."""
        return str(self.config["config"]["data"]["data"])

    def command(self, part: str) -> str:
        """The command that writes a part."""
        return f"fullrank {EXTRA[part][1]}".format(run=self.path, data=self.data)

    def pictures(self, part: str) -> list[Path]:
        """The figures next to a part's file."""
        return sorted((self.path / EXTRA[part][0]).parent.glob("*.png"))


def read_run(path: str | Path) -> RunFiles:
    """Reads a run.

    Raises:
      ValueError: If it is not a run, or one of its files is damaged.
    """
    path = Path(path)
    if not (path / "config.json").is_file() or not (path / "schema.json").is_file():
        raise ValueError(f"{path} is not a run directory: it has no config.json and schema.json.")
    config = _object(path / "config.json")
    if "data" not in config.get("config", {}) or "model" not in config["config"]:
        raise ValueError(f"{path / 'config.json'} is not of a run: it holds no configuration of data and model.")
    metrics = path / "metrics.jsonl"
    lines = []
    for text in metrics.read_text(encoding="utf-8").splitlines() if metrics.is_file() else ():
        try:
            lines.append(json.loads(text))
        except json.JSONDecodeError:
            break  # a kill cut off the last line
    files = {part: path / file for part, (file, _) in EXTRA.items()}
    return RunFiles(
        path=path,
        config=config,
        schema=_object(path / "schema.json"),
        result=_object(path / "result.json") if (path / "result.json").is_file() else None,
        lines=tuple(line for line in lines if isinstance(line, dict)),
        parts={part: _object(file) for part, file in files.items() if file.is_file()},
    )


def _object(file: Path) -> dict[str, Any]:
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{file} is damaged: expected a JSON object.") from error
    if not isinstance(found, dict):
        raise ValueError(f"{file} is damaged: expected a JSON object.")
    return found
