"""Wirings are plain data: golden descriptions, the limits that paradigms share, and what is refused."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import pytest

from fullrank import models
from fullrank.models.wirings.pruning import without_tasks

GOLDEN_SINGLE = """\
single: 1 set(s), H = 64, softmax gate
expert      kind      set   width  click
crossnet_0  crossnet  set0  16     train
flat_1      flat      set0  16     train"""

GOLDEN_ME = """\
multi-embedding: 2 set(s), H = 32, mean gate
expert   kind   set   width  click  buy
gwpfm_0  gwpfm  set0  8      train  train
flat_1   flat   set0  8      train  train
ipnn_2   ipnn   set1  8      train  train"""


GOLDEN_SHARED_BOTTOM = """\
shared bottom: 1 set(s), H = 64, mean gate
expert      kind      set   width  click  buy
crossnet_0  crossnet  set0  16     train  train
flat_1      flat      set0  16     train  train"""

GOLDEN_OMOE = """\
OMoE: 1 set(s), H = 64, shared gate
expert      kind      set   width  click  buy
crossnet_0  crossnet  set0  16     train  train
flat_1      flat      set0  16     train  train"""

GOLDEN_MMOE = """\
MMoE: 1 set(s), H = 64, softmax gate
expert      kind      set   width  click  buy+1
crossnet_0  crossnet  set0  16     train  train
flat_1      flat      set0  16     train  train
buy+1: buy, pay"""

GOLDEN_PLE = """\
PLE: 1 set(s), H = 64, softmax gate
expert      kind      set   width  shared  click  buy
crossnet_0  crossnet  set0  16     train   train  train
flat_1      flat      set0  16     train   train  train
flat_2      flat      set0  16     train   train  off
flat_3      flat      set0  16     train   off    train
expert      reads   click  buy
shared_2_0  shared  train  train
shared_2_1  shared  train  train
click_2_2   click   train  off
buy_2_3     buy     off    train"""

GOLDEN_ME_MMOE = """\
ME-MMoE: 2 set(s), H = 64, softmax gate
expert   kind   set   width  click  buy
gwpfm_0  gwpfm  set0  16     train  train
flat_1   flat   set0  16     train  train
ipnn_2   ipnn   set1  16     train  train"""

GOLDEN_AME = """\
AME: 3 set(s), H = 64, softmax gate
expert  kind  set   width  click  buy
fm_0    fm    set0  16     train  train
flat_1  flat  set0  16     train  train
ipnn_2  ipnn  set1  32     train  train
flat_3  flat  set1  32     train  train
fm_4    fm    set2  64     train  train
flat_5  flat  set2  64     train  train"""

GOLDEN_STEM = """\
STEM: 3 set(s), H = 64, softmax gate
expert      kind      set     width  shared    click     buy
crossnet_0  crossnet  shared  16     train     train     train
flat_1      flat      click   8      detached  train     detached
flat_2      flat      buy     4      detached  detached  train
expert      reads   click     buy
shared_2_0  shared  train     train
click_2_1   click   train     detached
buy_2_2     buy     detached  train"""

GOLDEN_STEM_AL = """\
STEM-AL: 2 set(s), H = 64, softmax gate, auxiliary: buy, like
expert      kind      set        width  click  buy    like
crossnet_0  crossnet  main       16     train  off    off
flat_1      flat      main       16     train  off    off
crossnet_2  crossnet  auxiliary  16     train  train  off
flat_3      flat      auxiliary  16     train  train  off
crossnet_4  crossnet  auxiliary  16     train  off    train
flat_5      flat      auxiliary  16     train  off    train"""

GOLDEN_STEM_AL_ALONE = """\
STEM-AL: 2 set(s), H = 64, softmax gate
expert      kind      set        width  click
crossnet_0  crossnet  main       16     train
flat_1      flat      main       16     train
crossnet_2  crossnet  auxiliary  16     train
flat_3      flat      auxiliary  16     train"""

GOLDEN_PLE_ALONE = """\
PLE: 1 set(s), H = 64, softmax gate
expert      kind      set   width  shared  click
crossnet_0  crossnet  set0  16     train   train
flat_1      flat      set0  16     train   train
flat_2      flat      set0  16     train   train
flat_3      flat      set0  16     train   off
expert      reads   click
shared_2_0  shared  train
shared_2_1  shared  train
click_2_2   click   train"""

TASKS = ("click", "buy")


@pytest.mark.parametrize(
    ("wiring", "golden"),
    [
        (models.shared_bottom(tasks=TASKS), GOLDEN_SHARED_BOTTOM),
        (models.omoe(tasks=TASKS), GOLDEN_OMOE),
        (models.mmoe(tasks=("click", ("buy", "pay"))), GOLDEN_MMOE),
        (models.ple(tasks=TASKS, levels=2), GOLDEN_PLE),
        (models.me_mmoe(tasks=TASKS), GOLDEN_ME_MMOE),
        (models.ame(tasks=TASKS), GOLDEN_AME),
        (
            models.stem(tasks=TASKS, widths=(16, 8, 4), experts=(("crossnet", 0), ("flat", 1), ("flat", 2)), levels=2),
            GOLDEN_STEM,
        ),
        (models.stem_al(main="click", auxiliary=("buy", "like")), GOLDEN_STEM_AL),
        (without_tasks(models.stem_al(main="click", auxiliary=("buy",)), tasks=("buy",)), GOLDEN_STEM_AL_ALONE),
        # What the shared experts of the second level read stays, the experts of the other task that feed them too.
        (without_tasks(models.ple(tasks=TASKS, levels=2), tasks=("buy",)), GOLDEN_PLE_ALONE),
    ],
    ids=lambda value: getattr(value, "paradigm", ""),
)
def test_a_paradigm_is_described(wiring: models.Wiring, golden: str) -> None:
    assert wiring.describe() == golden


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


def test_groups_keep_the_order_of_tasks_and_towers() -> None:
    wiring = models.mmoe(tasks=(("a", "b"), "c", ("d", "e", "f")))
    assert wiring.tasks == ("a", "b", "c", "d", "e", "f")
    assert wiring.tower_of == (0, 0, 1, 2, 2, 2)
    left = without_tasks(wiring, tasks=("a", "c", "f"))
    assert left.tasks == ("b", "d", "e")
    assert left.tower_of == (0, 1, 1)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: models.ple(tasks=TASKS, levels=0), "at least one level of experts. Received: levels=0"),
        (lambda: models.ple(tasks=TASKS, experts=(("flat", 3),)), r"\('flat', 3\).* 1 \(click\), 2 \(buy\)"),
        (lambda: models.ple(tasks=("shared", "buy"), levels=2), "unique reader names"),
        (lambda: models.stem(tasks=TASKS, widths=(4, 4)), "shared, click, buy: give 3 widths, or one for all"),
        (lambda: models.stem_al(main="click", auxiliary=()), "at least one auxiliary task"),
        (lambda: models.stem_al(main="click", auxiliary=("buy",), widths=(4,)), "takes 2 widths"),
        (lambda: models.stem_al(main="click", auxiliary=("click",)), "unique"),
        (lambda: models.mmoe(tasks=("click", ())), "group of tasks that share a tower is empty"),
        (lambda: dataclasses.replace(models.single(), auxiliary=("click",)), "some of the tasks"),
    ],
)
def test_what_no_paradigm_can_be(make: Callable[[], models.Wiring], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


def test_a_level_reads_what_is_below_it() -> None:
    wiring = models.ple(tasks=TASKS, levels=2)
    (level,) = wiring.levels
    experts = (models.StackedExpert(name="x", reads="nobody"),)
    readers = tuple(dataclasses.replace(reader, access=("train",)) for reader in wiring.readers)
    with pytest.raises(ValueError, match="'x' reads 'nobody', but the readers are"):
        dataclasses.replace(wiring, levels=(dataclasses.replace(level, experts=experts),), readers=readers)
    other = (dataclasses.replace(wiring.readers[0], task="like"), wiring.readers[1])
    with pytest.raises(ValueError, match="'like' has no reader of the same name below it"):
        dataclasses.replace(wiring, readers=other)
