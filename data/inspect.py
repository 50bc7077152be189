"""Prints what is in a data set directory, and checks it.

Usage:
  fullrank inspect --data=records
  fullrank inspect --data=records --split=test --rows=10
  fullrank inspect --data=records --validate
  fullrank inspect --data=records --metadata=schema.pbtxt

--validate reads every record and vocabulary, counts behaviours at or after the event and times that do not ascend,
prints base rates of all splits and how many ids are outside the vocabularies, and ends with exit code 1 if anything is
wrong.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from absl import flags

from fullrank.data.command.command import new_flags, run_command
from fullrank.data.command.help import text_table
from fullrank.data.command.quiet_tensorflow import import_tensorflow_quietly
from fullrank.data.files.printable import text_of
from fullrank.data.schema.columns import Column
from fullrank.data.schema.describe import describe_features, describe_header, describe_splits
from fullrank.data.schema.json import read_schema
from fullrank.data.schema.metadata_pbtxt import write_metadata
from fullrank.data.schema.schema import Schema, SchemaError
from fullrank.data.schema.vocabulary import read_vocabulary
from fullrank.data.writing.build import TRAIN

_PROBLEMS: Final = 20
_WIDTH: Final = 24
_BATCH: Final = 8_192


def inspect(flag_values: flags.FlagValues) -> int:
    """Runs the command with parsed flags and returns the exit code."""
    schema = read_schema(flag_values.data)
    if not schema.splits:
        raise SchemaError(f"{flag_values.data} is a schema without records: run fullrank convert first.")
    split = schema.split(flag_values.split) if flag_values.split else schema.splits[0]
    if flag_values.metadata is not None:
        write_metadata(schema, Path(flag_values.metadata))
    print("\n\n".join([describe_header(schema), describe_splits(schema), describe_features(schema)]))
    # Only here, because TensorFlow takes seconds and the schema alone is worth reading.
    import_tensorflow_quietly()
    if schema.layout == "block" and (shared := per_request(schema, split=split.name)):
        print(f"\nheld once per request: {', '.join(shared)}")
    if flag_values.validate:
        chosen = [split.name] if flag_values.split else [each.name for each in schema.splits]
        problems = find_problems(schema, splits=chosen, at_most=_PROBLEMS)
        if problems:
            print(f"\nProblems{' (the first ones)' if len(problems) == _PROBLEMS else ''}:")
            print("\n".join(f"  {problem}" for problem in problems))
            return 1
        print(f"\n{base_rates(schema, splits=chosen)}")
        if unknown := ids_outside(schema, splits=chosen):
            print(f"\n{unknown}")
        print(f"\nNothing is wrong with the records and vocabularies of {', '.join(chosen)}.")
    if flag_values.rows:
        print(f"\n{first_rows(schema, split=split.name, rows=flag_values.rows)}")
    return 0


def per_request(schema: Schema, *, split: str) -> tuple[str, ...]:
    """The columns that records of a split hold once per request; none where that cannot be found out."""
    from fullrank.data.records.bad_data import BadDataError
    from fullrank.data.records.shard_files import check_split

    try:
        packing = check_split(schema, split=split)
    except BadDataError:
        return ()
    return () if packing is None else packing.per_request


def find_problems(schema: Schema, *, splits: Sequence[str], at_most: int) -> list[str]:
    """The problems of vocabularies and records, one line each."""
    from fullrank.data.reading.bad_records import verify
    from fullrank.data.reading.sequence_order import out_of_order

    problems: list[str] = []
    for feature in schema.tables:
        if feature.ids.kind == "vocabulary":
            try:
                read_vocabulary(schema=schema, feature=feature.name)
            except SchemaError as error:
                problems.append(str(error))
    found = (str(problem) for problem in verify(schema, splits=splits))
    problems += itertools.islice(found, max(0, at_most - len(problems)))
    # Only records that can be read are looked at as a whole.
    return problems or list(itertools.islice(out_of_order(schema, splits=splits), at_most))


def base_rates(schema: Schema, *, splits: Sequence[str]) -> str:
    """Mean of every label over the examples on which it was observed, split by split."""
    from fullrank.data.reading.read import read_records

    rows: list[tuple[str, ...]] = []
    for split in splits:
        sums = dict.fromkeys((label.name for label in schema.labels), 0.0)
        counts = dict.fromkeys(sums, 0)
        for batch in read_records(schema, split=split, batch_size=_BATCH):
            for name in sums:
                values = batch[name].numpy().astype(np.float64)
                sums[name] += float(np.nansum(values))
                counts[name] += int(np.count_nonzero(~np.isnan(values)))
        rows.append((split, *(f"{sums[n] / counts[n]:.6g}" if counts[n] else "not observed" for n in sums)))
    header = ("split", *(f"mean of {label.name}" for label in schema.labels))
    return text_table(header, rows, right=range(1, len(header)))


def ids_outside(schema: Schema, *, splits: Sequence[str]) -> str:
    """Share of examples with an unknown id, and mean of the first label over them; nothing if all ids are known."""
    from fullrank.data.reading.unknown_ids import misleading, unknown_ids

    found = unknown_ids(schema, splits=splits)
    label = schema.labels[0].name
    names = dict.fromkeys(each.feature for each in found if each.share)
    if not names:
        return ""
    cells = {
        (each.feature, each.split): (f"{each.share:.2%}", f"{each.mean:.4g}" if each.observed else "") for each in found
    }
    rows = [(name, *itertools.chain.from_iterable(cells[name, split] for split in splits)) for name in names]
    header = ("unknown ids", *itertools.chain.from_iterable((split, f"mean of {label}") for split in splits))
    lines = [text_table(header, rows, right=range(1, len(header)))]
    for before, later in misleading(found, train=TRAIN):
        lines.append(
            f"{later.feature}: unknown ids go with a mean of {label} of {before.mean:.4g} in {TRAIN}, but of "
            f"{later.mean:.4g} in {later.split}: predictions of new ids will be biased. With every id in the "
            "vocabulary (no min_count, no max_size), train --unknown_share draws the ids that stand for them."
        )
    return "\n".join(lines)


def first_rows(schema: Schema, *, split: str, rows: int) -> str:
    """The first rows of a split, a column of the table each.

    Raises:
      BadDataError: If they cannot be read.
    """
    from fullrank.data.reading.bad_records import explain
    from fullrank.data.reading.pipeline import INPUT_ERRORS
    from fullrank.data.reading.read import read_records

    try:
        batch = next(iter(read_records(schema, split=split, batch_size=rows)))
    except INPUT_ERRORS as error:
        raise explain(error, schema=schema, split=split) from error
    arrays = {column.name: np.asarray(batch[column.name].numpy()) for column in schema.columns}
    count = len(next(iter(arrays.values())))
    header = (f"column ({split})", *(f"row {row}" for row in range(count)))
    cells = [(c.name, *(_cell(c, arrays[c.name][row]) for row in range(count))) for c in schema.columns]
    return text_table(header, cells)


def _cell(column: Column, value: Any) -> str:
    values = np.atleast_1d(value)
    missing = np.isnan(values) if column.dtype == "float32" else values == column.missing
    if column.form == "many" and column.pad is not None:
        missing = values == column.pad
    present = int(np.flatnonzero(~missing)[-1]) + 1 if not missing.all() else 0
    if column.form == "one":
        return _word(values[0]) if present else ""
    text = "|".join(_word(item) for item in values[:present])
    return text if len(text) <= _WIDTH else f"{text[: _WIDTH - 3]}..."


def _word(value: Any) -> str:
    if isinstance(value, bytes):
        return text_of(value)[:_WIDTH]
    return f"{value:.6g}" if isinstance(value, (float, np.floating)) else str(value)


def run(argv: Sequence[str] | None = None) -> None:
    """Runs the command line."""
    flag_values = new_flags()
    flags.DEFINE_string("data", None, "Data set directory.", required=True, flag_values=flag_values)
    flags.DEFINE_string("split", None, "Split to show, and the only one to validate.", flag_values=flag_values)
    flags.DEFINE_integer("rows", 5, "Rows to print.", lower_bound=0, upper_bound=1_000, flag_values=flag_values)
    flags.DEFINE_bool("validate", False, "Read and check everything.", flag_values=flag_values)
    flags.DEFINE_string(
        "metadata", None, "File for the columns as schema.pbtxt of TensorFlow Metadata.", flag_values=flag_values
    )
    run_command(lambda: inspect(flag_values), flag_values=flag_values, argv=argv)


if __name__ == "__main__":
    run()
