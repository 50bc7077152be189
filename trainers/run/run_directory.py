"""The directory of a run: its files, its lock, and the settings with which it can be resumed.

config.json       configuration, versions, git commit, command line, fingerprint of the data
schema.json       the data's schema, and with vocabulary/ all that the model needs of the data
tables.json       which rows of which variable are which embedding table
checkpoints/      the latest state of training; best/ holds the best weights, best-TASK/ those of one task
workers/          parts of the checkpoints of the other processes, if several train
metrics.jsonl     one line every few steps and every epoch
events/           event files for TensorBoard
result.json       best epoch and its metrics; only a finished run has it
diverged.json     why training ended without a result, if its weights became NaN or infinite
"""

from __future__ import annotations

import contextlib
import datetime
import json
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

from fullrank.data.files.scratch import is_file, try_lock
from fullrank.data.files.write_aside import write_text, written_aside
from fullrank.data.schema import saved_tables as table_layout
from fullrank.data.schema.json import read_schema
from fullrank.data.schema.schema import Schema
from fullrank.data.schema.vocabulary import part_of_file_name
from fullrank.trainers.config import json as config_json
from fullrank.trainers.config.config import RunConfig
from fullrank.trainers.run.origin import data_fingerprint, git_commit, versions

_COMMANDS: Final = {"retrieval": "retrieve", "prerank": "prerank"}
"""Part that only the configuration of one command has -> that command."""


def write_json(content: Any, file: Path) -> None:
    """Writes `content` with an indent of one space, in a folder that is created if it is missing.

    Raises:
      ValueError: If a number is not finite, which JSON cannot hold.
    """
    write_text(file, json.dumps(content, indent=1, allow_nan=False) + "\n")


class RunDirectory:
    """A run's directory, which may not exist yet.

    Args:
      path: The directory.
      config_class: Configuration of its kind of run.
    """

    def __init__(self, path: str | Path, *, config_class: type = RunConfig) -> None:
        self.path = Path(path)
        self._config_class = config_class
        self.config_file = self.path / "config.json"
        self.tables_file = self.path / table_layout.FILE_NAME
        self.checkpoints = self.path / "checkpoints"
        self.best = self.path / "best"
        self.workers = self.path / "workers"
        self.metrics_file = self.path / "metrics.jsonl"
        self.events = self.path / "events"
        self.repaired = self.path / "repaired"
        self.result_file = self.path / "result.json"
        self.diverged_file = self.path / "diverged.json"

    def best_of(self, task: str) -> Path:
        """The directory of the weights that are best for one task, with `--best_of_tasks`."""
        return self.path / f"{self.best.name}-{part_of_file_name(task)}"

    @property
    def exists(self) -> bool:
        """Whether the directory holds a run, finished or not."""
        return self.config_file.is_file()

    @property
    def resumable(self) -> bool:
        """Whether starting over would lose anything."""
        return self.result_file.is_file() or any(self.checkpoints.glob("*.index"))

    def result(self) -> dict[str, Any] | None:
        """The result of a finished run; `None` for one that is not finished."""
        if not self.result_file.is_file():
            return None
        return _read(self.result_file)

    def divergence(self) -> str | None:
        """The message with which training diverged; `None` for a run that did not."""
        if not self.diverged_file.is_file():
            return None
        return str(_read(self.diverged_file).get("message"))

    def note_divergence(self, message: str) -> str:
        """Writes down how training diverged, so that the same command does not do so again.

        Returns:
          The message with what is left of the run, and what to do.
        """
        write_json({"message": message}, self.diverged_file)
        return f"{self.path}: {message} {self._what_is_left()}"

    def config(self) -> RunConfig:
        """The configuration of a ranker's run, as `config_of` gives it."""
        return self.config_of(RunConfig)

    def config_of(self, config_class: type[config_json.Config]) -> config_json.Config:
        """The configuration of the run.

        Args:
          config_class: Configuration of the kind of run that it has to be.

        Raises:
          ValueError: If there is no run here, it is of another kind, or its configuration is of another version.
        """
        if not self.exists:
            raise ValueError(f"{self.path} is not a run directory: it has no config.json.")
        parts = config_json.read_parts(self.config_file)
        own, wanted = (_kind(each) for each in (parts, config_json.parts_of(config_class)))
        if own != wanted:
            raise ValueError(f"{self.path} is a run of `fullrank {own}`, not of `fullrank {wanted}`.")
        return config_json.from_json(parts, source=str(self.config_file), of=config_class)

    def schema(self) -> Schema:
        """The schema of the data that the run was trained on; its directory is the run's own."""
        return read_schema(self.path)

    def create(
        self,
        config: Any,
        schema: Schema,
        *,
        command: Sequence[str],
        more: Callable[[Path], Any] | None = None,
    ) -> None:
        """Creates the directory atomically; a run that it already holds is replaced by the new one.

        Args:
          config: Its configuration.
          schema: Schema of the data.
          command: The command line, stored in `config.json`.
          more: Writes further files into the new directory.

        Raises:
          ValueError: If it holds something else.
        """
        if not self.exists:
            self.check_free()
        parts = config_json.to_json(config)
        # Of this command alone: nothing that reads the file may overwrite a run because this one did.
        parts["train"].pop("overwrite")
        content = {
            "config": parts,
            "command": list(command),
            "versions": versions(),
            "git_commit": git_commit(),
            "data": {
                "directory": str(schema.directory.resolve()) if schema.directory else None,
                "fingerprint": data_fingerprint(schema),
                "examples": {split.name: split.examples for split in schema.splits},
            },
            "created": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        }
        with written_aside(self.path, overwrite=True, made_of=self.config_file.name) as aside:
            write_json(content, aside / self.config_file.name)
            copy_schema(schema, aside)
            if more is not None:
                more(aside)

    def check_free(self) -> None:
        """Rejects a path at which a run cannot be created.

        Raises:
          ValueError: If there is a file, or a directory that is neither empty nor a run.
        """
        if self.path.exists() and (not self.path.is_dir() or any(self.path.iterdir())):
            raise ValueError(f"{self.path} exists and is not a run directory: choose another --output, or remove it.")

    def check_resumable(self, config: Any, schema: Schema) -> None:
        """Rejects a configuration or data that differ from those that the run began with.

        Raises:
          ValueError: If they differ; the message names the fields.
        """
        difference = self._difference(config, schema)
        if difference is not None:
            raise ValueError(difference)

    def check_processes(self, count: int) -> None:
        """Rejects to resume with another number of processes, each of which has a place in files of its own.

        Raises:
          ValueError: If the checkpoints are of another number.
        """
        before = 1 + sum(entry.is_dir() for entry in self.workers.glob("*"))
        if before != count:
            raise ValueError(
                f"{self.path}: its checkpoints are of {before} process(es), each with a place in files of its own, but "
                f"{count} would resume it: start {before}, or start over with --overwrite."
            )

    def check_not_diverged(self, config: Any, schema: Schema) -> None:
        """Rejects a run that has diverged with the same configuration and data.

        Raises:
          ValueError: If it did.
        """
        message = self.divergence()
        if message is not None and self._difference(config, schema) is None:
            raise ValueError(
                f"{self.path}: this run has diverged, and the same command would do so again: {message} "
                f"{self._what_is_left()}"
            )

    def _what_is_left(self) -> str:
        left = [str(place) for place in (self.best, self.checkpoints) if any(place.glob("*.index"))]
        if not left:
            return "Nothing had been saved before. Give the changed flags with the same --output."
        return (
            f"What was saved before, in {' and '.join(left)}, is finite and was kept. Give the changed flags with "
            "another --output, or with --overwrite to replace this run."
        )

    def _difference(self, config: Any, schema: Schema) -> str | None:
        """Describes how the run in the directory differs from one of this configuration and data."""
        different = config_json.differences(self.config_of(self._config_class), config)
        if different:
            return (
                f"{self.path} holds a run with another configuration: {'; '.join(different)}. "
                "Give the same flags to resume it, another --output to keep it, or --overwrite to replace it."
            )
        stored = json.loads(self.config_file.read_text(encoding="utf-8")).get("data", {})
        if stored.get("fingerprint") != data_fingerprint(schema):
            return (
                f"{self.path} holds a run on other data: {stored.get('directory')} then, {schema.directory} now, with "
                "other shards, schema or vocabularies. Choose another --output, or replace the run by --overwrite."
            )
        return None

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Keeps other processes from training in this directory; the lock ends with the process.

        Raises:
          ValueError: If another process holds it.
        """
        self.path.parent.mkdir(parents=True, exist_ok=True)
        # Next to the directory, because the directory is created by a rename and may be removed to start over.
        file = self.path.with_name(f".{self.path.name}.lock")
        with open(file, "a", encoding="utf-8") as lock:
            # Without locks (`None`) nothing separates two runs. The process that held the lock may have removed the
            # file between our opening and locking it.
            if try_lock(lock.fileno()) is False or not is_file(file, lock.fileno()):
                raise ValueError(
                    f"{self.path}: another process is training here; wait for it, or choose another --output."
                )
            try:
                yield
            finally:
                file.unlink(missing_ok=True)


def _kind(parts: Iterable[str]) -> str:
    """The command whose configuration has these parts."""
    return next((command for part, command in _COMMANDS.items() if part in parts), "train")


def _read(file: Path) -> dict[str, Any]:
    """A JSON object that a run wrote when it ended.

    Raises:
      ValueError: If it was cut off or changed since.
    """
    try:
        loaded = json.loads(file.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        loaded = error
    if not isinstance(loaded, dict):
        raise ValueError(
            f"{file} is damaged: expected a JSON object. Remove it: the same command then resumes from the last "
            "checkpoint, and writes it again."
        )
    return loaded


def copy_schema(schema: Schema, target: Path) -> None:
    """Copies the schema and the vocabularies of a data set or run into the directory `target`."""
    if schema.directory is None:
        raise ValueError(f"Schema {schema.name!r} was not read from a directory, so it cannot be copied from there.")
    shutil.copyfile(schema.directory / "schema.json", target / "schema.json")
    if (schema.directory / "vocabulary").is_dir():
        shutil.copytree(schema.directory / "vocabulary", target / "vocabulary")
