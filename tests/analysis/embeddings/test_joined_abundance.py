"""Information abundance of several sets together, by hand and from a run."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest

from fullrank.analysis.embeddings.table_spectra import joined_abundance, mean_abundance
from fullrank.analysis.inputs.open_input import Input, TableSource
from fullrank.analysis.inputs.variables import StoredVariable
from fullrank.data.schema.saved_tables import StoredTable


def stored(name: str, values: Any) -> StoredVariable:
    array = np.asarray(values, np.float64)
    return StoredVariable(name=name, shape=array.shape, read=lambda: array)


def source(name: str, values: Any, *, accumulated: Any = None) -> TableSource:
    slots = () if accumulated is None else (stored("accumulator", accumulated),)
    variable = dataclasses.replace(stored(name, values), slots=slots)
    table = StoredTable(name="ad", start=0, rows=len(values))
    return TableSource(variable=variable, set=name, tables=(table,))


def test_two_sets_by_hand() -> None:
    # Side by side (1, 0 | 2, 0) and (0, 1 | 0, 1): orthogonal rows of norms sqrt 5 and sqrt 2, so that the singular
    # values are these, and IA = (sqrt 5 + sqrt 2) / sqrt 5 = 1.632456; min(2, 4) = 2.
    sources = (source("a", [[1, 0], [0, 1]]), source("b", [[2, 0], [0, 1]]))
    found = joined_abundance(Input(path="", kind="run", read="", sources=sources))
    assert found["ad"].abundance == pytest.approx(1.632456, rel=1e-6)
    assert found["ad"].relative == pytest.approx(0.816228, rel=1e-6)
    assert (found["ad"].rows, found["ad"].width) == (2, 4)
    assert mean_abundance(found) == pytest.approx({"ia": 1.632456, "ia_share": 0.816228}, rel=1e-6)


def test_a_field_of_one_row_is_left_out() -> None:
    assert joined_abundance(Input(path="", kind="run", read="", sources=(source("a", [[1, 2]]),))) == {}
    assert mean_abundance({}) == {}


def test_a_row_counts_if_every_set_trained_it() -> None:
    # The second row of the second set keeps an accumulator of 0, so that rows 1 and 3 are left: orthogonal, IA = 2.
    first = source("a", [[1, 0], [5, 5], [0, 1]], accumulated=[0.3, 0.3, 0.2])
    second = source("b", [[1, 0], [5, 5], [0, 1]], accumulated=[0.3, 0.0, 0.2])
    found = joined_abundance(Input(path="", kind="run", read="", sources=(first, second)))
    assert found["ad"].rows == 2
    assert found["ad"].abundance == pytest.approx(2.0)
