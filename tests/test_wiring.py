"""Wirings are plain data: golden descriptions, the limits that paradigms share, and what is refused."""

from __future__ import annotations

import dataclasses

import pytest

from fullrank import models

GOLDEN_SINGLE = """\
single: 1 set(s), H = 64, softmax gate
expert      kind      set   width  click
crossnet_0  crossnet  set0  16     train
flat_1      flat      set0  16     train"""

GOLDEN_ME = """\
multi-embedding: 2 set(s), H = 32, mean gate
expert  kind  set   width  click  buy
fm_0    fm    set0  8      train  train
flat_1  flat  set0  8      train  train
ipnn_2  ipnn  set1  8      train  train"""


def test_single_is_described() -> None:
    assert models.single().describe() == GOLDEN_SINGLE


def test_multi_embedding_is_described() -> None:
    wiring = models.multi_embedding(widths=(8, 8), tasks=("click", "buy"), expert_width=32, gate="mean")
    assert wiring.describe() == GOLDEN_ME


def test_multi_embedding_with_one_set_is_the_single_model() -> None:
    one = models.multi_embedding(widths=(16,), experts=(("crossnet", 0), ("flat", 0)))
    assert dataclasses.replace(one, paradigm="single") == models.single(experts=("crossnet", "flat"))


def test_an_expert_on_a_set_that_is_not_there() -> None:
    with pytest.raises(ValueError, match=r"\('ipnn', 2\).*there are 2, counted from 0"):
        models.multi_embedding(widths=(16, 16), experts=(("fm", 0), ("ipnn", 2)))


def test_a_set_that_nobody_reads() -> None:
    with pytest.raises(ValueError, match=r"No expert .* reads set\(s\) \['set1'\]"):
        models.multi_embedding(widths=(16, 16), experts=(("fm", 0),))


def test_names_are_unique() -> None:
    with pytest.raises(ValueError, match="unique task names"):
        models.single(tasks=("click", "click"))


def test_a_reader_has_an_entry_an_expert() -> None:
    wiring = models.single()
    with pytest.raises(ValueError, match="2 access entries"):
        dataclasses.replace(wiring, readers=(models.Reader(task="click", access=("train",)),))
