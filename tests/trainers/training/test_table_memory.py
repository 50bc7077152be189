"""Tables that are larger than memory are refused before they are built."""

from __future__ import annotations

from pathlib import Path

import pytest

from fullrank.data.schema.features import IdMap, Label, Sparse
from fullrank.data.schema.json import read_schema
from fullrank.data.schema.schema import Schema
from fullrank.trainers.config.model import ModelConfig
from fullrank.trainers.training import memory as table_memory
from fullrank.trainers.training.build_model import build_model
from fullrank.trainers.training.memory import check_tables_fit, in_bytes, total_memory


def schema_of(**sizes: int) -> Schema:
    features = tuple(Sparse(name=name, ids=IdMap(kind="hash", size=size)) for name, size in sizes.items())
    return Schema(name="toy", features=features, labels=(Label(name="click"),))


def test_the_largest_table_is_named_with_rows_and_bytes() -> None:
    # (98 + 2) and (8 + 2) rows x (3 + 2) numbers x 4 bytes = 2,000 + 200 bytes.
    schema = schema_of(user=98, item=8)
    check_tables_fit(schema, widths=(3, 2), memory=2_200)
    with pytest.raises(ValueError, match=r"need 2\.2 KB, but there are 2\.2 KB") as caught:
        check_tables_fit(schema, widths=(3, 2), memory=2_199)
    assert "the largest is that of feature 'user', 100 rows x 5 numbers of 4 bytes = 2.0 KB." in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_table_of_10_to_the_15_rows_fits_nowhere() -> None:
    with pytest.raises(ValueError, match=r"'user', 1,000,000,000,000,002 rows x 16 numbers of 4 bytes = 64\.0 PB"):
        check_tables_fit(schema_of(user=10**15), widths=(16,))


def test_a_table_that_several_features_share_counts_once() -> None:
    shared = Schema(
        name="toy",
        features=(Sparse(name="a", ids=IdMap(kind="hash", size=8)), Sparse(name="b", table="a")),
        labels=(Label(name="click"),),
    )
    check_tables_fit(shared, widths=(1,), memory=40)


def test_a_container_has_the_memory_of_its_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = total_memory()
    assert whole is not None
    limit = tmp_path / "memory.max"
    monkeypatch.setattr(table_memory, "_LIMITS", (str(limit), str(tmp_path / "none")))
    for text, expected in (("12345\n", 12345), ("9223372036854771712", None), ("max\n", None)):
        limit.write_text(text)
        found = total_memory()
        assert found == expected or (expected is None and found is not None and found > 10**8)


def test_bytes_have_units() -> None:
    assert [in_bytes(n) for n in (0, 999, 1000, 1_500_000, 64 * 10**15, 10**22)] == [
        "0 B",
        "999 B",
        "1.0 KB",
        "1.5 MB",
        "64.0 PB",
        "10,000.0 EB",
    ]


def test_a_model_is_not_built_with_tables_that_do_not_fit(toy_records: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(table_memory, "total_memory", lambda: 1_000)
    with pytest.raises(
        ValueError, match=r"The embedding tables need .* the largest is that of feature 'user', 32 rows"
    ):
        build_model(ModelConfig(model="single"), read_schema(toy_records))


def test_a_narrow_table_counts_with_its_own_width_in_each_wider_set() -> None:
    # 100 rows x (2 + 2) numbers + 10 rows x (3 + 2) numbers, of 4 bytes: 1,600 + 200.
    schema = schema_of(user=98, item=8)
    check_tables_fit(schema, widths=(3, 2), narrow={"user": 2}, memory=1_800)
    with pytest.raises(ValueError, match=r"'user', 100 rows x 4 numbers of 4 bytes = 1\.6 KB.*--table_widths=user:1\)"):
        check_tables_fit(schema, widths=(3, 2), narrow={"user": 2}, memory=1_799)
    with pytest.raises(ValueError, match=r"convert again\), or smaller --widths"):
        check_tables_fit(schema, widths=(3, 2), narrow={"user": 1}, memory=999)
