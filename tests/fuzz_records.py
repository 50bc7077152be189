"""Mutated records through reader and search, which must agree, and mutated schemas through the parser.

    python tests/fuzz_records.py --records=100000 --schemas=10000

Records are tried in processes of their own, which TensorFlow may end; each leaves the group that it is at in a file, so
that what ended it can be tried again with `--replay=FILE --layout=LAYOUT`. The same seed tries the same records.
"""

from __future__ import annotations

import argparse
import dataclasses
import itertools
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
# A record alone is too small to be shared out.
os.environ.setdefault("TF_NUM_INTRAOP_THREADS", "1")
os.environ.setdefault("TF_NUM_INTEROP_THREADS", "1")

import numpy as np
import tensorflow as tf

from fullrank import data
from fullrank.data.reading.pipeline import INPUT_ERRORS
from fullrank.data.reading.scan import scan_frames
from fullrank.data.records.block_layout import block_parser, decode_block, unpacker
from fullrank.data.records.encode_block import encode_block
from fullrank.data.records.example_layout import ExampleError, decode_examples, example_parser
from fullrank.data.records.frames import Frame, framed, read_frames
from fullrank.data.records.packing import Packing
from fullrank.data.schema.json import read_schema, schema_from_json, schema_to_json
from fullrank.data.schema.ragged import take_rows
from fullrank.data.schema.value_rules import aligned_columns, batch_check, value_rules
from mutations import mutated, mutated_json

ROWS, BLOCK_ROWS, GROUP = 24, 3, 1000
LAYOUTS: Final = ("example", "block")
_EACH: Final = 10_000
"""Records of a process."""

SCHEMA: Final = data.Schema(
    name="fuzz",
    features=(
        data.Sparse(name="item", ids=data.IdMap(kind="hash", size=50)),
        data.Sparse(name="word", dtype="bytes", ids=data.IdMap(kind="hash", size=50)),
        data.Sparse(name="tags", dtype="bytes", max_values=3, weights="tag_weights"),
        data.Numeric(name="price"),
        data.Sequence(
            name="past",
            behaviour=(
                data.BehaviourColumn(name="past_item", table="item", target="item"),
                data.BehaviourColumn(name="past_word", table="word", target="word"),
            ),
            times="past_time",
            max_length=4,
        ),
        data.Vector(name="content", length=2),
        data.Bits(name="bits", length=3),
    ),
    labels=(data.Label(name="click"), data.Label(name="worth", type="value")),
    weight="weight",
    keys=(data.Key(name="user"),),
    time="time",
)


def columns_of(rows: int, *, random: np.random.Generator) -> dict[str, Any]:
    """Rows in which anything that may be missing is so at times."""
    words = np.array([b"", b"a", b"word", b"x" * 150], object)
    columns: dict[str, Any] = {}
    for group in (("tags", "tag_weights"), ("past_item", "past_word", "past_time")):
        lengths = random.integers(0, 7, rows).astype(np.int32)
        for name in group:
            size = int(lengths.sum())
            values: Any = random.integers(0, 300, size)
            if name in ("tags", "past_word"):
                values = random.choice(words, size)
            elif name == "tag_weights":
                values = random.random(size, dtype=np.float32)
            columns[name] = data.Ragged(values, lengths)
    columns["word"] = random.choice(words, rows)
    columns |= {name: random.integers(-1, 1000, rows) for name in ("item", "user", "time")}
    columns |= {
        name: np.where(random.random(rows) < 0.2, np.nan, random.random(rows)).astype(np.float32)
        for name in ("price", "worth", "weight")
    }
    columns["content"] = random.random((rows, 2), dtype=np.float32)
    columns["bits"] = random.integers(0, 2, (rows, 3))
    columns["click"] = random.choice(np.array([0, 1, np.nan], np.float32), rows)
    return columns


class Both:
    """Reader and search of one layout, and good records with what the reader makes of them."""

    def __init__(self, layout: Any) -> None:
        self.schema = dataclasses.replace(SCHEMA, layout=layout)
        columns = columns_of(ROWS, random=np.random.default_rng(7))
        rules, aligned = value_rules(self.schema), aligned_columns(self.schema)
        check = batch_check(rules, explicit_nan=layout == "example")
        parse: Any
        if layout == "example":
            self.good = data.encode_examples(columns, schema_columns=self.schema.columns)
            parse = example_parser(self.schema.columns, aligned=aligned)
        else:
            packing = Packing(self.schema.columns)
            parts = np.arange(ROWS).reshape(-1, BLOCK_ROWS)
            self.good = [encode_block(take_rows(columns, part), packing=packing) for part in parts]
            of_blocks = block_parser(packing, columns=self.schema.columns, aligned=aligned)
            unpack = unpacker(packing, columns=self.schema.columns)
            parse = lambda records: unpack(of_blocks(records))  # noqa: E731

        @tf.function(input_signature=[tf.TensorSpec([None], tf.string)], autograph=False)
        def read(records: tf.Tensor) -> dict[str, tf.Tensor]:
            batch = parse(records)
            check(batch)
            return {name: tf.identity(value) for name, value in batch.items()}

        self._read = read
        self.taken = 0
        self._rows = 1 if layout == "example" else BLOCK_ROWS

    def read(self, records: list[bytes]) -> dict[str, Any] | None:
        """What the reader makes of records, or `None` if it refuses them."""
        try:
            return {name: value.numpy() for name, value in self._read(tf.constant(records, tf.string)).items()}
        except INPUT_ERRORS:
            return None

    def disagreements(self, records: list[bytes]) -> Iterator[str]:
        """What is wrong with how reader and search take a group of records.

        They must give the same verdict on each; good records come out of the search as they were, the rows that it
        saves from bad blocks are read, and a batch holds what other code finds in its records.
        """
        frames = (Frame(number, record) for number, record in enumerate(records))
        found = list(zip(records, scan_frames(self.schema, "file", frames), strict=True))
        yield from (f"altered: {record.hex()}" for record, it in found if not it.problems and it.record != record)
        taken = [record for record, it in found if not it.problems]
        self.taken += len(taken)
        # Of the example layout, the search asks the reader itself; then a sample is enough.
        refused = [record for record, it in found if it.problems][:: 1 if self.schema.layout == "block" else 20]
        yield from (f"the search refuses, the reader takes: {r.hex()}" for r in refused if self.read([r]) is not None)
        mixed = [record for pair in zip(taken, itertools.cycle(self.good), strict=False) for record in pair]
        together = self.read(mixed)
        if together is None:
            yield from (f"the search takes, the reader refuses: {r.hex()}" for r in taken if self.read([r]) is None)
        else:
            yield from self._read_otherwise(mixed, together)
        saved = [it for _, it in found if it.problems and it.record is not None]
        rows = self.read([it.record or b"" for it in saved] + self.good[:1])
        if rows is None or len(rows["item"]) != sum(it.examples for it in saved) + self._rows:
            yield f"what the search saved is not read: {[(it.record or b'').hex() for it in saved]}"

    def _read_otherwise(self, records: list[bytes], batch: dict[str, Any]) -> Iterator[str]:
        start = 0
        for record in records:
            try:
                expected = self._decoded(record)
            except ExampleError:
                # A name that is not UTF-8, or a damaged feature that is not a column, which protobuf's parser refuses.
                expected = self.read([record]) or {}
            stop = start + len(expected["item"])
            for name, values in expected.items():
                if not np.array_equal(batch[name][start:stop], values, equal_nan=values.dtype.kind == "f"):
                    yield f"column {name!r} is read otherwise: {record.hex()}"
            start = stop

    def _decoded(self, record: bytes) -> dict[str, Any]:
        """What a record holds, by way of protobuf and NumPy."""
        if self.schema.layout == "block":
            columns = decode_block(record)[1]
        else:
            columns = decode_examples([record], schema_columns=self.schema.columns)
        return {column.name: padded(columns[column.name], column) for column in self.schema.columns}


def padded(values: Any, column: data.Column) -> Any:
    """A column as a batch holds it."""
    if not isinstance(values, data.Ragged):
        return values
    rows = [row + [column.missing] * (column.length - len(row)) for row in values.last(column.length).to_lists()]
    return np.array(rows, column.numpy_dtype).reshape(-1, column.length)


def try_records(layout: str, *, seed: int, number: int, leave: Path) -> tuple[int, list[str]]:
    """Tries a number of mutated records; how many the reader took, and what was wrong."""
    both, random = Both(layout), np.random.default_rng(seed)
    wrong: list[str] = []
    for start in range(0, number, GROUP):
        pairs = random.integers(0, len(both.good), (min(GROUP, number - start), 2))
        group = [mutated(both.good[one], both.good[two], random=random) for one, two in pairs.tolist()]
        leave.write_bytes(framed(group))
        wrong += both.disagreements(group)
    return both.taken, wrong


def schema_faults(number: int, *, seed: int) -> Iterator[str]:
    """What mutated schemas do beside being read or refused in one clear line."""
    random = np.random.default_rng(seed)
    whole = schema_to_json(dataclasses.replace(SCHEMA, splits=(data.Split(name="train", shards=()),)))
    with tempfile.TemporaryDirectory() as directory:
        file = Path(directory) / "schema.json"
        for _ in range(number):
            text = mutated_json(whole, random=random)
            file.write_bytes(text.encode(errors="surrogatepass"))
            try:
                schema = read_schema(file)
                value_rules(schema), aligned_columns(schema), schema.input_columns
                again = schema_from_json(schema_to_json(schema))
                if again != dataclasses.replace(schema, directory=None):
                    yield f"is not written as it was read: {text}"
            except data.SchemaError as error:
                if len(str(error).splitlines()) != 1:
                    yield f"more than one line: {str(error)!r}: {text}"
            except Exception as error:
                yield f"{type(error).__name__}: {error}: {text}"


def children(arguments: argparse.Namespace, layout: str) -> Iterator[str]:
    """Tries records in processes of their own, one after the other."""
    for part, start in enumerate(range(0, arguments.records, _EACH)):
        number, seed = min(_EACH, arguments.records - start), arguments.seed + part
        leave = Path(arguments.leave) / f"fuzz-{layout}-{seed}.tfrecord"
        leave.parent.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, __file__, f"--layout={layout}", f"--seed={seed}", f"--records={number}", "--child"]
        done = subprocess.run([*command, f"--leave={leave}"], capture_output=True, text=True, check=False)
        yield from done.stdout.splitlines()
        if done.returncode != 0:
            yield f"the process ended with {done.returncode} at a record of {leave} (seed {seed}): {done.stderr[-300:]}"
        else:
            print(f"{layout}, seed {seed}: {done.stderr.splitlines()[-1]}", file=sys.stderr, flush=True)
            leave.unlink(missing_ok=True)


def printed(lines: Iterable[str]) -> int:
    """Prints lines; how many there were."""
    count = 0
    for line in lines:
        print(line, flush=True)
        count += 1
    return count


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--records", type=int, default=2000, help="Mutated records of each layout.")
    parser.add_argument("--schemas", type=int, default=500, help="Mutated schemas.")
    parser.add_argument("--seed", type=int, default=0, help="Of the first process; each further one has the next.")
    parser.add_argument("--leave", default="build/fuzz", help="Where a group of records that ended a process is left.")
    parser.add_argument("--layout", choices=LAYOUTS, help="The only layout.")
    parser.add_argument("--replay", help="A file that an ended process has left; needs --layout.")
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.replay:
        records = [frame.data or b"" for frame in read_frames(arguments.replay, compression="")]
        return int(printed(Both(arguments.layout).disagreements(records)) > 0)
    if arguments.child:
        leave = Path(arguments.leave)
        taken, wrong = try_records(arguments.layout, seed=arguments.seed, number=arguments.records, leave=leave)
        printed(wrong)
        print(f"{arguments.records} records, of which the reader took {taken}", file=sys.stderr)
        return 0
    failed = 0
    for layout in (arguments.layout,) if arguments.layout else LAYOUTS:
        start = time.monotonic()
        faults = printed(children(arguments, layout))
        print(f"{arguments.records} records of layout {layout}: {faults} faults, {time.monotonic() - start:.0f} s")
        failed += faults
    faults = printed(schema_faults(arguments.schemas, seed=arguments.seed))
    print(f"{arguments.schemas} schemas: {faults} faults")
    return int(failed + faults > 0)


if __name__ == "__main__":
    sys.exit(main())
