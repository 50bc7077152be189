"""Reading records: block records and standard records against the pipeline that is written first and kept by most.

The rows have 27 ids, 13 numbers, a label and a ragged sequence of up to 50 ids (18 on average); batches of 2,048. The
reference is `TFRecordDataset.map(parse_single_example).batch()` over the same standard records, in order, with the
sequence left sparse. Ours also pads the sequence and checks values. Both read their files again and again; a round
draws a fixed number of batches from each, after some to come up to speed. Rows without a goal are for information:
reading shuffled, a reference that parses single examples in parallel, and examples per second of processor time, which
other programs on the machine disturb less.

The last row is the time that deleting an iterator takes at the end of a pass. The reference is our pipeline with
TensorFlow's tuning thread, which is on by default and off in ours.
"""

from __future__ import annotations

import os
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import numpy as np
import tensorflow as tf

import report
from fullrank import data

IDS, NUMBERS, LENGTH, BATCH = 27, 13, 50, 2048
ROWS, SHARDS = 40_960, 4
LIFE = 0.5


def schema_of(layout: Any) -> data.Schema:
    features: list[data.Feature] = [data.Sparse(name=f"id_{index:02d}") for index in range(IDS)]
    features += [data.Numeric(name=f"number_{index:02d}") for index in range(NUMBERS)]
    features.append(
        data.Sequence(
            name="history",
            behaviour=(data.BehaviourColumn(name="past", table="id_00", target="id_00"),),
            max_length=LENGTH,
        )
    )
    return data.Schema(name="bench", features=tuple(features), labels=(data.Label(name="click"),), layout=layout)


def columns_of(rows: int) -> dict[str, Any]:
    rng = np.random.default_rng(0)
    lengths = np.minimum(rng.geometric(1 / 20, rows) - 1, LENGTH).astype(np.int32)
    columns: dict[str, Any] = {f"id_{index:02d}": rng.integers(0, 1_000_000, rows) for index in range(IDS)}
    columns |= {f"number_{index:02d}": rng.random(rows, dtype=np.float32) for index in range(NUMBERS)}
    columns["past"] = data.Ragged(rng.integers(0, 1_000_000, lengths.sum()), lengths)
    columns["click"] = (rng.random(rows) < 0.1).astype(np.float32)
    return columns


def one_by_one(schema: data.Schema, *, parallel: int | None) -> tf.data.Dataset:
    """The reference: every example is parsed on its own."""
    spec = {
        column.name: tf.io.VarLenFeature(tf.int64)
        if column.form == "many"
        else tf.io.FixedLenFeature([], column.dtype, default_value=column.missing)
        for column in schema.columns
    }
    files = [str((schema.directory or Path()) / shard.file) for shard in schema.split("train").shards]
    records = tf.data.TFRecordDataset(files).repeat()
    return records.map(lambda record: tf.io.parse_single_example(record, spec), num_parallel_calls=parallel).batch(
        BATCH
    )


def drawn(dataset: tf.data.Dataset, batches: int) -> tuple[float, float]:
    """Seconds a batch, by the clock and by processor time, of an iterator that has come up to speed."""
    iterator = iter(dataset)
    for _ in range(batches // 4):
        next(iterator)
    start, processor_start = time.perf_counter(), time.process_time()
    for _ in range(batches):
        next(iterator)
    return (time.perf_counter() - start) / batches, (time.process_time() - processor_start) / batches


def compare(
    name: str, ours: tf.data.Dataset, reference: tf.data.Dataset, *, batches: tuple[int, int], rounds: int, goal: str
) -> list[report.Row]:
    """The rates of both sides, by the clock and by processor time.

    A side has an iterator of its own in every round, which is gone when the other side has its turn: both work ahead in
    the background, and would do so at the other's expense.
    """
    seconds: list[tuple[tuple[float, float], tuple[float, float]]] = []
    for number in range(rounds):
        first, second = (ours, reference) if number % 2 == 0 else (reference, ours)
        sizes = batches if number % 2 == 0 else batches[::-1]
        pair = drawn(first, sizes[0]), drawn(second, sizes[1])
        seconds.append(pair if number % 2 == 0 else pair[::-1])
    rows = []
    for index, what in enumerate(("", ", processor time")):
        sides = [report.Sample(tuple(pair[side][index] for pair in seconds)) for side in (0, 1)]
        ratios = [pair[1][index] / pair[0][index] for pair in seconds]
        rows.append(
            report.compare(
                name=name + what,
                ours=sides[0].rate(BATCH),
                reference=sides[1].rate(BATCH),
                ratio=statistics.median(ratios),
                goal="" if what else goal,
                unit="examples/s",
            )
        )
    return rows


def endings(dataset: tf.data.Dataset, *, number: int) -> report.Sample:
    """Seconds that it takes to let go of an iterator which has lived for `LIFE`, for a number of them."""
    seconds = []
    for _ in range(number):
        iterator = iter(dataset)
        end = time.perf_counter() + LIFE
        while time.perf_counter() < end:
            next(iterator)
            time.sleep(0.005)
        start = time.perf_counter()
        del iterator
        seconds.append(time.perf_counter() - start)
    return report.Sample(tuple(seconds))


def tuned(dataset: tf.data.Dataset) -> tf.data.Dataset:
    """The same with TensorFlow's tuning thread."""
    options = tf.data.Options()
    options.autotune.enabled = True
    return dataset.with_options(options)


def compare_endings(schema: data.Schema, *, number: int) -> report.Row:
    """The mean wait, since it is long once in a few times; medians hide it."""
    ours = data.read_records(schema, batch_size=BATCH, seed=1, epochs=None)
    waits = [endings(dataset, number=number) for dataset in (ours, tuned(ours))]
    means = [statistics.fmean(wait.values) for wait in waits]
    return report.compare(
        name=f"end of an iterator after {LIFE} s, mean {means[0] * 1e3:.2g} and {means[1] * 1e3:.2g} ms",
        ours=waits[0].scaled(1e3),
        reference=waits[1].scaled(1e3),
        ratio=means[0] / means[1],
        unit="ms",
    )


def main() -> None:
    options = report.arguments(__doc__.splitlines()[0])
    rounds = 1 if options.quick else 11
    batches = {"block": 160, "example": 32, "reference": 8}
    if options.quick:
        batches = {side: number // 4 for side, number in batches.items()}
    with tempfile.TemporaryDirectory() as directory:
        schemas = {
            layout: data.write_records(
                Path(directory) / layout, schema=schema_of(layout), splits={"train": columns_of(ROWS)}, shards=SHARDS
            )
            for layout in ("block", "example")
        }
        slow = one_by_one(schemas["example"], parallel=None)
        slow_parallel = one_by_one(schemas["example"], parallel=tf.data.AUTOTUNE)
        check_equal([data.read_records(schema, batch_size=BATCH) for schema in schemas.values()], slow)
        measured: list[tuple[str, str, int | None, str, tf.data.Dataset]] = [
            ("block records", "block", None, ">= 30", slow),
            ("standard records", "example", None, ">= 8", slow),
            ("block records, shuffled", "block", 1, "", slow),
            ("standard records, shuffled", "example", 1, "", slow),
            ("block records, reference in parallel", "block", None, "", slow_parallel),
            ("standard records, reference in parallel", "example", None, "", slow_parallel),
        ]
        rows = []
        for name, layout, seed, goal, reference in measured:
            ours = data.read_records(schemas[layout], batch_size=BATCH, seed=seed, epochs=None)
            sizes = (batches[layout], batches["reference"])
            rows += compare(name, ours, reference, batches=sizes, rounds=rounds, goal=goal)
        rows.append(compare_endings(schemas["block"], number=4 if options.quick else 40))
    report.emit(rows, options.json)


def check_equal(ours: list[tf.data.Dataset], reference: tf.data.Dataset) -> None:
    """Both sides must give the same numbers, or the comparison means nothing."""
    expected = next(iter(reference))
    for dataset in ours:
        batch = next(iter(dataset))
        for name, values in expected.items():
            if isinstance(values, tf.SparseTensor):
                padded = tf.sparse.to_dense(values, default_value=-1).numpy()
                np.testing.assert_array_equal(batch[name].numpy()[:, : padded.shape[1]], padded)
            else:
                np.testing.assert_array_equal(batch[name].numpy(), values.numpy())


if __name__ == "__main__":
    main()
