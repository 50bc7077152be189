"""Building a data set: statistics, vocabularies and shards, however little memory and however many processes."""

from __future__ import annotations

import collections
import errno
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pytest

from fullrank import data
from fullrank.data.files.write_aside import written_aside
from fullrank.data.tables.bad_rows import BadRows, TooManyBadRowsError
from fullrank.data.writing import build
from fullrank.data.writing.build import build_records, default_shards
from fullrank.data.writing.statistics import SAMPLE, Moments

SCHEMA = data.Schema(
    name="log",
    features=(
        data.Sparse(name="user"),
        data.Sparse(name="item", ids=data.IdMap(min_count=2)),
        data.Sparse(name="similar_item", table="item"),
        data.Sparse(name="word", dtype="bytes", max_values=3, ids=data.IdMap(max_size=5)),
        data.Sparse(name="cookie", dtype="bytes", ids=data.IdMap(kind="hash", size=64)),
        data.Numeric(name="price"),
        data.Sequence(
            name="history",
            behaviour=(data.BehaviourColumn(name="past", table="item", target="item"),),
            times="past_time",
            max_length=4,
        ),
    ),
    labels=(data.Label(name="click"), data.Label(name="spend", type="value")),
    keys=(data.Key(name="user"),),
    time="time",
)

Source = Callable[[], Iterator[pa.RecordBatch]]


def table(rows: int, seed: int) -> pa.Table:
    """Rows with missing values of every kind; `time` numbers them."""
    draw = np.random.default_rng(seed)

    def some(values: Any, share: float = 0.2) -> pa.Array:
        return pa.array(values, mask=draw.random(rows) < share)

    lengths = draw.integers(0, 6, rows)
    words = [[f"w{word}" for word in draw.zipf(1.5, size) % 30] for size in draw.integers(0, 4, rows)]
    return pa.table(
        {
            "user": some(draw.integers(0, 40, rows)),
            "item": some(draw.zipf(1.4, rows) % 500),
            "similar_item": some(draw.integers(0, 500, rows)),
            "word": words,
            "cookie": some([f"c{number}" for number in draw.integers(0, 300, rows)]),
            "price": some(draw.normal(10, 3, rows).astype(np.float32)),
            "past": [(draw.zipf(1.4, size) % 500).tolist() for size in lengths],
            "past_time": [list(range(size)) for size in lengths],
            "click": some(draw.integers(0, 2, rows)),
            "spend": some(draw.normal(size=rows)),
            "time": np.arange(rows),
            "unused": ["x"] * rows,
        }
    )


def source(rows: pa.Table, batch_rows: int = 77) -> Source:
    return lambda: iter(rows.to_batches(max_chunksize=batch_rows))


TRAIN, TEST = table(1000, seed=1), table(301, seed=2)


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(build, "CHUNK_ROWS", 90)


def built(directory: Path, **options: Any) -> data.Schema:
    arguments: dict[str, Any] = {"splits": {"train": source(TRAIN), "test": source(TEST)}, "schema": SCHEMA}
    return build_records(**{**arguments, "output": directory / "records", "workers": 1, "progress": False, **options})


def contents(directory: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(directory)): path.read_bytes() for path in sorted(directory.rglob("*")) if path.is_file()
    }


def column(schema: data.Schema, split: str, name: str) -> list[Any]:
    batches = data.read_records(schema, split=split, batch_size=128)
    return [value for batch in batches for value in batch[name].numpy().tolist()]


@pytest.mark.parametrize("layout", ["block", "example"])
@pytest.mark.parametrize("compression", ["", "GZIP"])
def test_what_was_written_is_read_in_order(
    tmp_path: Path, layout: Literal["block", "example"], compression: Literal["", "GZIP"]
) -> None:
    schema = built(tmp_path, layout=layout, compression=compression, shards=3)
    assert schema == data.read_schema(tmp_path / "records")
    assert schema.directory == tmp_path / "records"
    assert (schema.layout, schema.compression) == (layout, compression)
    ending = ".tfrecord.gz" if compression else ".tfrecord"
    for split, rows, examples in (("train", TRAIN, [333, 333, 334]), ("test", TEST, [100, 100, 101])):
        shards = schema.split(split).shards
        assert [shard.examples for shard in shards] == examples
        assert [shard.file for shard in shards] == [f"{split}-0000{n}-of-00003{ending}" for n in range(3)]
        assert [shard.size for shard in shards] == [
            (tmp_path / "records" / shard.file).stat().st_size for shard in shards
        ]
        expected = data.to_columns(rows.combine_chunks().to_batches()[0], SCHEMA)
        batch = next(iter(data.read_records(schema, split=split, batch_size=len(rows))))
        assert set(batch) == set(expected)
        for wanted in SCHEMA.columns:
            values = expected[wanted.name]
            if isinstance(values, data.Ragged):
                padded = np.full((len(rows), wanted.length), wanted.missing, wanted.numpy_dtype)
                for row, present in enumerate(values.to_lists()):
                    padded[row, : len(present)] = present
                values = padded
            np.testing.assert_array_equal(batch[wanted.name].numpy(), values, err_msg=wanted.name)
    assert list(data.verify(schema)) == []


def reference_vocabulary(
    columns: list[str], *, past: str | None = None, min_count: int = 1, max_size: int | None = None
) -> list[Any]:
    def counted(name: str) -> collections.Counter[Any]:
        found = collections.Counter[Any]()
        for cell in TRAIN[name].to_pylist():
            values = cell[-4:] if isinstance(cell, list) else [] if cell is None else [cell]  # as a sequence keeps
            found.update(value.encode() if isinstance(value, str) else value for value in values)
        return found

    counts = sum(map(counted, columns), collections.Counter[Any]())
    counts.update({key: n for key, n in counted(past).items() if key not in counts} if past else {})
    ranked = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return [value for value, count in ranked if count >= min_count][:max_size]


def test_vocabularies_hold_the_training_split_most_frequent_first(tmp_path: Path) -> None:
    schema = built(tmp_path)
    expected = {
        "user": reference_vocabulary(["user"]),
        "item": reference_vocabulary(["item", "similar_item"], past="past", min_count=2),
        "word": reference_vocabulary(["word"], max_size=5),
    }
    assert {p.stem for p in (tmp_path / "records" / "vocabulary").iterdir()} == set(expected)
    for name, ids in expected.items():
        assert data.read_vocabulary(schema=schema, feature=name).tolist() == ids
        assert schema.sparse(name).ids.size == len(ids)
    assert schema.sparse("cookie").ids.size == 64


def test_the_number_of_threads_changes_no_byte(tmp_path: Path) -> None:
    built(tmp_path / "one", compression="GZIP", shards=2)
    built(tmp_path / "two", compression="GZIP", shards=2, workers=2)
    assert contents(tmp_path / "one") == contents(tmp_path / "two")


def numeric_statistics(schema: data.Schema, name: str) -> data.NumericStatistics:
    feature = next(feature for feature in schema.features if feature.name == name)
    assert isinstance(feature, data.Numeric)
    assert feature.statistics is not None
    return feature.statistics


def test_statistics_are_those_of_the_training_split(tmp_path: Path) -> None:
    schema = built(tmp_path)
    price = numeric_statistics(schema, "price")
    values = np.array([value for value in TRAIN["price"].to_pylist() if value is not None])
    assert price.mean == pytest.approx(values.mean(), rel=1e-12)
    assert price.std == pytest.approx(values.std(), rel=1e-12)
    assert price.missing == pytest.approx(1 - len(values) / 1000)
    assert len(price.quantiles) == 257
    np.testing.assert_allclose(price.quantiles, np.quantile(values, np.linspace(0, 1, 257)), rtol=1e-6)
    assert price.quantiles[0] == price.minimum
    assert price.quantiles[-1] == price.maximum
    assert len(price.values) <= 256
    assert price.values[0] == price.minimum
    stored = values.astype(np.float32)
    at_least = np.array([(stored >= np.float32(value)).mean() for value in price.values])
    np.testing.assert_allclose(price.shares, at_least - np.append(at_least[1:], 0), atol=1e-6)
    words = TRAIN["word"].to_pylist()
    assert schema.sparse("word").statistics == data.SparseStatistics(
        distinct=len({word for row in words for word in row}),
        missing=sum(not row for row in words) / 1000,
        mean_length=sum(map(len, words)) / 1000,
    )
    cookies = TRAIN["cookie"].to_pylist()
    assert schema.sparse("cookie").statistics == data.SparseStatistics(
        distinct=len(set(cookies) - {None}), missing=cookies.count(None) / 1000
    )
    clicks = [click for click in TRAIN["click"].to_pylist() if click is not None]
    assert schema.label("click").mean == pytest.approx(sum(clicks) / len(clicks))
    assert schema.label("click").observed == pytest.approx(len(clicks) / 1000)


def test_what_is_never_there_has_statistics_too(tmp_path: Path) -> None:
    rows = TRAIN.set_column(TRAIN.schema.get_field_index("price"), "price", pa.nulls(1000))
    rows = rows.set_column(rows.schema.get_field_index("spend"), "spend", pa.nulls(1000))
    rows = rows.set_column(rows.schema.get_field_index("user"), "user", pa.nulls(1000))
    schema = data.read_schema(built(tmp_path, splits={"train": source(rows)}).directory or "")
    assert numeric_statistics(schema, "price") == data.NumericStatistics(mean=0, std=0, minimum=0, maximum=0, missing=1)
    assert (schema.label("spend").mean, schema.label("spend").observed) == (None, 0)
    assert schema.sparse("user").ids.size == 0
    assert data.read_vocabulary(schema=schema, feature="user").tolist() == []


def bad_at(*numbers: int) -> pa.Table:
    """The training rows, those numbers with a label of 7."""
    clicks = [7 if number in numbers else 1 for number in range(1000)]
    return TRAIN.set_column(TRAIN.schema.get_field_index("click"), "click", pa.array(clicks))


def test_bad_rows_fail_or_are_left_out_and_counted_once(tmp_path: Path) -> None:
    splits = {"train": source(bad_at(5, 600)), "test": source(bad_at(7))}
    message = r"column 'click': 7 is not a label: .* \(--on_bad_record=skip leaves such rows out\.\)"
    with pytest.raises(ValueError, match=message):
        built(tmp_path, splits=splits)
    assert list(tmp_path.iterdir()) == []
    bad_rows = BadRows(on_bad_record="skip")
    schema = built(tmp_path, splits=splits, bad_rows=bad_rows)
    assert (bad_rows.skipped, bad_rows.seen) == (3, 2000)
    assert column(schema, "train", "time") == [number for number in range(1000) if number not in (5, 600)]
    assert schema.split("test").examples == 999
    with pytest.raises(TooManyBadRowsError, match="3 of 2000 rows are bad"):
        built(tmp_path / "strict", splits=splits, bad_rows=BadRows(on_bad_record="skip", max_fraction=0.001))


def test_an_existing_directory_is_replaced_only_when_asked_and_only_a_data_set(tmp_path: Path) -> None:
    built(tmp_path)
    before = contents(tmp_path)
    with pytest.raises(
        FileExistsError, match="records exists already: choose another name, or replace it by --overwrite"
    ):
        built(tmp_path)
    assert contents(tmp_path) == before
    built(tmp_path, overwrite=True, splits={"train": source(TEST)})
    assert not any(name.startswith("records/test") for name in contents(tmp_path))
    home = tmp_path / "home"
    home.mkdir()
    (home / "letter.txt").write_text("dear")
    with pytest.raises(FileExistsError, match=r"home holds no schema\.json, so --overwrite does not delete it"):
        build_records(splits={"train": source(TEST)}, schema=SCHEMA, output=home, overwrite=True)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["home", "records"]


def test_a_failure_leaves_the_old_data_set_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    built(tmp_path)
    before = contents(tmp_path)

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(build, "write_schema", full)
    with pytest.raises(OSError, match="No space left on device") as error:
        built(tmp_path, overwrite=True, splits={"train": source(TEST)})
    assert error.value.filename == str(tmp_path / "records")
    assert contents(tmp_path) == before
    assert [path.name for path in tmp_path.iterdir()] == ["records"]


def test_an_interruption_leaves_the_old_directory(tmp_path: Path) -> None:
    target = tmp_path / "records"
    target.mkdir()
    (target / "schema.json").write_text("old")

    def interrupted() -> None:
        with written_aside(target, overwrite=True, made_of="schema.json") as aside:
            (aside / "schema.json").write_text("new")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert contents(tmp_path) == {"records/schema.json": b"old"}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"splits": {"test": source(TEST)}}, "A data set needs a split 'train'. Received: test."),
        (
            {"splits": {"train": source(TEST), "a/b": source(TEST)}},
            "The split name 'a/b' cannot be part of a file name",
        ),
        ({"splits": {"train": source(TEST[:0])}}, "The split 'train' has no rows: there is nothing to write."),
        (
            {"splits": {"train": source(TEST), "test": source(TEST[:0])}},
            "The split 'test' has no rows: leave it out, or change how rows are split.",
        ),
        ({"shards": 0}, "shards must be at least 1. Received: 0."),
        ({"workers": 0}, "workers must be at least 1. Received: 0."),
        ({"splits": {"train": source(TEST.drop_columns(["item"]))}}, "The input has no column 'item'"),
    ],
)
def test_what_cannot_be_built(tmp_path: Path, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError) as error:  # noqa: PT011 - the message is what is tested
        built(tmp_path, **options)
    assert str(error.value).startswith(message)
    assert list(tmp_path.iterdir()) == []


def test_files_of_different_types_are_joined(tmp_path: Path) -> None:
    narrow = TRAIN[:50].set_column(0, "user", TRAIN["user"][:50].cast(pa.int8()))
    empty = TRAIN[50:90].set_column(0, "user", pa.nulls(40))
    batches = [*narrow.to_batches(), *empty.to_batches(), *TRAIN[90:].to_batches()]
    schema = built(tmp_path, splits={"train": lambda: iter(batches)})
    expected = [-1 if 50 <= row < 90 or user is None else user for row, user in enumerate(TRAIN["user"].to_pylist())]
    assert column(schema, "train", "user") == expected


def test_a_table_that_no_machine_holds_is_refused(tmp_path: Path) -> None:
    huge = data.Sparse(name="user", ids=data.IdMap(kind="identity", size=10**15))
    schema = data.Schema(name="log", features=(huge,), labels=(data.Label(name="click"),))
    with pytest.raises(
        data.SchemaError, match=r"'user' declares an embedding table of 1,000,000,000,000,000 rows \(4,0"
    ):
        built(tmp_path, schema=schema)
    assert list(tmp_path.iterdir()) == []


def test_there_are_files_enough_to_share() -> None:
    assert [default_shards(rows) for rows in (1, 1000, 1001, 50_000, 400_000, 400_001)] == [1, 1, 2, 4, 4, 5]


def test_quantiles_of_many_values_are_close_and_repeatable() -> None:
    values = np.random.default_rng(0).exponential(size=4 * SAMPLE).astype(np.float32)

    def fitted(pieces: int) -> data.NumericStatistics:
        moments = Moments(seed=3)
        for piece in np.array_split(values, pieces):
            moments.add(piece)
        return moments.statistics(len(values))

    found = fitted(40)
    assert found == fitted(40)
    # The share of values below a quantile is off by at most five standard errors of a sample: 5 * sqrt(.25 / SAMPLE).
    below = np.searchsorted(np.sort(values), found.quantiles) / len(values)
    assert np.abs(below - np.linspace(0, 1, 257)).max() < 5 * (0.25 / SAMPLE) ** 0.5
    assert (found.minimum, found.maximum) == pytest.approx((float(values.min()), float(values.max())), rel=1e-6)
    exact = values.astype(np.float64)
    assert (found.mean, found.std) == pytest.approx((exact.mean(), exact.std()), rel=1e-9)
