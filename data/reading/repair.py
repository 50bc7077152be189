"""Reading around bad records: repaired copies of bad files, made before the first step.

Checking every record while training would slow down every run for the sake of the few that need it. Instead every
file is checked once beforehand, at the speed of training, and a bad one is copied without its bad records. The result
is remembered by size and time of the file, so that the next run starts at once.
"""

from __future__ import annotations

import collections
import dataclasses
import json
from pathlib import Path
from typing import Final
from urllib.parse import quote

import tensorflow as tf
from absl import logging
from tqdm import tqdm

from fullrank.data.files.write_aside import file_aside, write_text
from fullrank.data.reading.bad_records import bad_shards, count_problem
from fullrank.data.reading.scan import QuickLook, scan_shard
from fullrank.data.records.bad_data import BadDataError
from fullrank.data.records.shard_files import directory_of, with_shards
from fullrank.data.schema.schema import Schema, Shard
from fullrank.data.schema.value_rules import aligned_columns, value_rules

_MEMORY: Final = "verified.json"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Repaired:
    """A split without its bad records.

    Attributes:
      schema: The schema, in which the split names repaired copies where files were bad.
      examples: Examples the split should have had.
      skipped: How many of them were left out.
      reasons: (file, feature, reason) -> number of records or rows. Where the rest of a file was lost, or a damaged
        block hid its rows, one reason covers many examples.
    """

    schema: Schema
    examples: int
    skipped: int
    reasons: dict[tuple[str, str, str], int]

    def report(self) -> list[str]:
        """Describes what was left out, in a few lines of text; empty if nothing was."""
        if not self.skipped and not self.reasons:
            return []
        lines = [f"Left out {self.skipped} of {self.examples} examples:"]
        for (file, feature, reason), count in self.reasons.items():
            column = f"feature {feature!r}: " if feature else ""
            lines.append(f"  {file}: {column}{reason} ({count} {'times' if count > 1 else 'time'})")
        return lines


def repair_split(
    schema: Schema,
    *,
    split: str,
    cache_directory: str | Path,
    max_bad_fraction: float = 0.01,
    progress: bool = True,
) -> Repaired:
    """Looks through all files of a split and copies the bad ones without their bad records.

    Args:
      schema: A schema that was read from a directory.
      split: Name of the split.
      cache_directory: Where repaired copies and the list of files already looked through are kept.
      max_bad_fraction: Largest share of the split's examples that may be left out.
      progress: Whether to show a progress bar.

    Returns:
      What to read instead, and what was left out; that is also logged as a warning.

    Raises:
      BadDataError: If more is bad than may be left out.
    """
    if not 0 <= max_bad_fraction <= 1:
        raise ValueError(f"max_bad_fraction is a share from 0 to 1. Received: {max_bad_fraction}.")
    cache = Path(cache_directory)
    cache.mkdir(parents=True, exist_ok=True)
    shards = schema.split(split).shards
    memory = _recall(cache, schema)
    known = {shard.file: memory[shard.file] for shard in shards if _holds(memory.get(shard.file), schema, shard)}
    look = QuickLook(schema)
    unknown = [shard for shard in shards if shard.file not in known]
    with tqdm(
        total=sum(shard.examples for shard in unknown),
        desc=f"checking {split}",
        unit="example",
        unit_scale=True,
        mininterval=1,
        disable=not progress or not unknown,
    ) as bar:
        for shard, bad in bad_shards(look, unknown):
            known[shard.file] = _repaired(schema, shard, cache, look) if bad else _found_good(schema, shard)
            bar.update(shard.examples)
    _remember(cache, schema, {**memory, **known})
    result = _result(schema, split, known)
    for line in result.report():
        logging.warning("%s", line)
    if result.skipped > max_bad_fraction * result.examples:
        first = next(known[shard.file].first for shard in shards if known[shard.file].first)
        raise BadDataError(
            f"{result.skipped} of {result.examples} examples of split {split!r} are bad, more than "
            f"max_bad_fraction={max_bad_fraction} allows. The first: {first}"
        )
    return result


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Known:
    """The verdict on one file: its state when it was checked, and what to read instead of it."""

    size: int
    time: int
    read: str
    read_size: int
    examples: int
    reasons: tuple[tuple[str, str, int], ...] = ()
    first: str = ""


def _found_good(schema: Schema, shard: Shard) -> _Known:
    size, time = _stamp(directory_of(schema) / shard.file)
    return _Known(size=size, time=time, read=shard.file, read_size=size, examples=shard.examples)


def _repaired(schema: Schema, shard: Shard, cache: Path, look: QuickLook) -> _Known:
    """Copies the good records of a shard."""
    path = directory_of(schema) / shard.file
    size, time = _stamp(path)
    target = cache.resolve() / quote(shard.file, safe="")
    examples, first = 0, ""
    counts: collections.Counter[tuple[str, str]] = collections.Counter()
    with file_aside(target) as aside:
        with tf.io.TFRecordWriter(str(aside), options=schema.compression or None) as writer:
            for scanned in scan_shard(schema, shard):
                examples += scanned.examples
                if scanned.record is not None:
                    writer.write(scanned.record)
                for problem in scanned.problems:
                    counts[problem.feature or "", problem.reason] += 1
                    first = first or str(problem)
        if not counts or examples > shard.examples:
            problem = count_problem(schema, shard, examples)
            counts["", problem.reason] += 1
            first = first or str(problem)
    copy = Shard(file=str(target), examples=examples, size=target.stat().st_size)
    if examples and not look(copy):
        raise BadDataError(f"{first} The rest of the file could not be saved either: leave it out of the schema.")
    return _Known(
        size=size,
        time=time,
        read=copy.file,
        read_size=copy.size or 0,
        examples=examples,
        reasons=tuple((feature, reason, count) for (feature, reason), count in counts.items()),
        first=first,
    )


def _result(schema: Schema, split: str, known: dict[str, _Known]) -> Repaired:
    shards = schema.split(split).shards
    found = [known[shard.file] for shard in shards]
    reasons = {
        (shard.file, feature, reason): count
        for shard, entry in zip(shards, found, strict=True)
        for feature, reason, count in entry.reasons
    }
    instead = tuple(Shard(file=entry.read, examples=entry.examples, size=entry.read_size) for entry in found)
    expected = schema.split(split).examples
    return Repaired(
        schema=with_shards(schema, split=split, shards=instead),
        examples=expected,
        skipped=sum(max(0, shard.examples - entry.examples) for shard, entry in zip(shards, found, strict=True)),
        reasons=reasons,
    )


def _stamp(path: Path) -> tuple[int, int]:
    """Size and time of a file; zeros if there is none."""
    try:
        stat = path.stat()
    except OSError:
        return 0, 0
    return stat.st_size, stat.st_mtime_ns


def _recall(cache: Path, schema: Schema) -> dict[str, _Known]:
    """The verdicts of earlier runs; none if they are damaged or belong to another schema."""
    try:
        memory = json.loads((cache / _MEMORY).read_text(encoding="utf-8"))
        if memory["what"] != _what_was_checked(schema):
            return {}
        return {file: _Known(**entry) for file, entry in memory["files"].items()}
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return {}


def _holds(entry: _Known | None, schema: Schema, shard: Shard) -> bool:
    """Whether neither the file nor its copy has changed since."""
    if entry is None:
        return False
    directory = directory_of(schema)
    unchanged = _stamp(directory / shard.file) == (entry.size, entry.time)
    return unchanged and _stamp(directory / entry.read)[0] == entry.read_size


def _remember(cache: Path, schema: Schema, known: dict[str, _Known]) -> None:
    memory = {
        "what": _what_was_checked(schema),
        "files": {file: dataclasses.asdict(entry) for file, entry in known.items()},
    }
    write_text(cache / _MEMORY, json.dumps(memory, indent=1))


def _what_was_checked(schema: Schema) -> list[str]:
    """Everything, apart from the file, that the verdict on it depends on."""
    settings = [str(directory_of(schema).resolve()), schema.layout, schema.compression]
    read = [*map(repr, schema.columns), repr(schema.left_out)]
    return [*settings, *read, repr(value_rules(schema)), repr(aligned_columns(schema))]
