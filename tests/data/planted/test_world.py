"""Planted worlds: rows that depend on seed and number alone, logits by their weights, and every mechanism's effects."""

from __future__ import annotations

import dataclasses
import itertools
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from scipy import stats

from fullrank.data.planted.affinities import Affinities
from fullrank.data.planted.click_graph import ClickGraph
from fullrank.data.planted.content import Content
from fullrank.data.planted.evidence import Evidence
from fullrank.data.planted.field_parts import FieldParts
from fullrank.data.planted.groups import HiddenGroups
from fullrank.data.planted.interest import Interest
from fullrank.data.planted.mechanism import Draw, Drawn, Mechanism
from fullrank.data.planted.number import Number
from fullrank.data.planted.pairs import LatentPairs
from fullrank.data.planted.partners import Partners
from fullrank.data.planted.pretrained import PretrainedPair
from fullrank.data.planted.region import Region
from fullrank.data.planted.repeats import Repeats
from fullrank.data.planted.world import BLOCK, PlantedWorld, Task, World

Ints = npt.NDArray[np.int64]


@dataclasses.dataclass(frozen=True)
class CountVectors:
    """Vectors that say how often a person, or an ad, occurs in clicks."""

    width: int = 2

    def __call__(self, clicks: tuple[Ints, Ints], *, users: int, ads: int, seed: int) -> Any:
        """Counts beside the seed."""
        counts = (np.bincount(each, minlength=size) for each, size in zip(clicks, (users, ads), strict=True))
        return tuple(np.stack([count, np.full(len(count), seed)], axis=1).astype(np.float32) for count in counts)


MECHANISMS: dict[str, Mechanism] = {
    "interest": Interest(),
    "number": Number(),
    "pairs": LatentPairs(),
    "fields": FieldParts(),
    "partners": Partners(),
    "groups": HiddenGroups(),
    "evidence": Evidence(),
    "content": Content(),
    "vectors": PretrainedPair(),
    "reasons": Affinities(),
    "graph": ClickGraph(embed=CountVectors(), users=300),
    "exposures": Repeats(),
    "region": Region(),
}


def drawn(mechanism: Mechanism, *, rows: int = 4000, seed: int = 3) -> Drawn:
    planted = mechanism.plant(np.random.default_rng(seed))
    return planted(Draw(random=np.random.default_rng(seed + 1), rows=rows, split="train"))


def one_task(name: str, effect: str, *, seed: int = 1, weight: float = 2.0, rate: float = 0.2) -> PlantedWorld:
    world = World(
        mechanisms={name: MECHANISMS[name]}, tasks={"click": Task(weights={f"{name}/{effect}": weight}, rate=rate)}
    )
    return PlantedWorld(world, seed=seed)


@pytest.mark.parametrize("name", list(MECHANISMS))
def test_a_block_is_a_function_of_seed_split_and_number(name: str) -> None:
    effect = next(iter(drawn(MECHANISMS[name], rows=10).effects))
    world, again, other = (one_task(name, effect, seed=seed) for seed in (1, 1, 2))
    later = again.block("train", 5)  # drawn first, and alone
    for number, block in zip(range(6), world.blocks("train"), strict=False):
        if number == 5:
            for column, values in block.items():
                np.testing.assert_array_equal(values, later[column])
    assert not np.array_equal(world.block("test", 5)["true_click"], later["true_click"])
    assert not np.array_equal(other.block("train", 5)["true_click"], later["true_click"])


def test_workers_share_the_blocks() -> None:
    world = one_task("number", "smooth")
    shares = [list(itertools.islice(world.blocks("train", worker=worker, workers=3), 2)) for worker in range(3)]
    for number in range(6):
        np.testing.assert_array_equal(shares[number % 3][number // 3]["number"], world.block("train", number)["number"])


def test_batches_are_the_rows_in_order() -> None:
    world = one_task("pairs", "first")
    batches = list(itertools.islice(world.batches("train", batch_size=1024), 9))
    rows = world.rows("train", 9 * 1024)
    np.testing.assert_array_equal(np.concatenate([batch["ad_id"] for batch in batches]), rows["ad_id"])
    with pytest.raises(ValueError, match="divides a block"):
        next(world.batches("train", batch_size=1000))


@pytest.mark.parametrize("name", list(MECHANISMS))
def test_a_batch_has_every_column_of_the_schema(name: str) -> None:
    effect = next(iter(drawn(MECHANISMS[name], rows=10).effects))
    world = one_task(name, effect)
    schema, block = world.schema(train_rows=1_000_000), world.block("train", 0)
    assert set(block) == {column.name for column in schema.columns}
    for column in schema.columns:
        assert block[column.name].dtype == column.numpy_dtype
        assert block[column.name].shape == (BLOCK, *column.batch_shape[1:])
    assert schema.split("train").examples == 1_000_000


@pytest.mark.parametrize("weight", [0.0, 0.5, 2.0])
def test_a_weight_is_the_deviation_that_an_effect_adds(weight: float) -> None:
    world = one_task("evidence", "linear", weight=weight, rate=0.1)
    rows = world.rows("test", 65_536)
    assert np.std(rows["true_click"]) == pytest.approx(weight, abs=0.02)
    # The label is drawn from the logit: a rate of .1 has a standard error of .0012 here.
    assert rows["click"].mean() == pytest.approx(0.1, abs=0.006)
    assert (1 / (1 + np.exp(-rows["true_click"]))).mean() == pytest.approx(0.1, abs=0.003)


def test_mistakes_are_named() -> None:
    with pytest.raises(ValueError, match=r"no effect 'number/rough'\. Effects: number/smooth"):
        one_task("number", "rough")
    with pytest.raises(ValueError, match="rate lies between 0 and 1"):
        one_task("number", "smooth", rate=1.0)
    twice = World(mechanisms={"a": Number(), "b": Number()}, tasks={"click": Task(weights={})})
    with pytest.raises(ValueError, match="Two mechanisms draw the column 'number'"):
        PlantedWorld(twice, seed=1)


def test_interest_decays_and_needs_the_target() -> None:
    found = drawn(Interest(tau_hours=10.0), rows=300)
    columns = found.columns
    for row in range(300):
        decay = count = 0.0
        for category, time in zip(columns["history_category"][row], columns["history_time"][row], strict=True):
            if category == columns["category"][row]:
                count += 1
                decay += np.exp(-(columns["timestamp"][row] - time) / 36_000.0)
        assert found.effects["count"][row] == count
        assert found.effects["decay"][row] == pytest.approx(decay)
    there = columns["history_category"] >= 0
    assert (there.sum(axis=1) >= 10).all()
    times = np.where(there, columns["history_time"], np.iinfo(np.int64).max)
    assert (np.diff(times, axis=1) >= 0).all()  # the oldest first, padding last
    assert (columns["history_time"][there] < columns["timestamp"][0]).all()


def test_numbers_have_an_order_or_none() -> None:
    mechanism = Number(bits=10)
    found = drawn(mechanism, rows=20_000)
    number = found.columns["number_id"]
    values = {name: np.zeros(1024) for name in found.effects}
    for name, effect in found.effects.items():
        values[name][number] = effect

    def neighbours(name: str) -> float:
        return float(stats.pearsonr(values[name][:-1], values[name][1:]).statistic)

    assert neighbours("smooth") > 0.99
    assert abs(neighbours("unordered")) < 0.1
    # A bump at every multiple of 128, and of width 16: 127 and 128 are alike, 64 and 0 are not.
    assert values["carry"][[0, 128, 256]] == pytest.approx([1.0, 1.0, 1.0])
    assert values["carry"][127] == pytest.approx(np.exp(-1 / 256))
    assert values["carry"][64] < 1e-6
    # Each binary digit has a weight of its own: 5 = 4 + 1.
    digits = values["digits"]
    assert digits[5] == pytest.approx(digits[4] + digits[1] - digits[0])


def test_parts_are_the_double_loop_over_pairs_of_fields() -> None:
    mechanism = FieldParts(fields=2, size=3, rank=2)
    vectors = np.random.default_rng(3).normal(size=(4, 2, 3, 2))
    found = drawn(mechanism, rows=50)
    ids = [found.columns[name] for name in ("user_0", "user_1", "ad_0", "ad_1")]
    part = [0, 0, 1, 1]
    for row in range(50):
        parts = plain = 0.0
        for i in range(4):
            for j in range(i + 1, 4):
                parts += vectors[i, part[j], ids[i][row]] @ vectors[j, part[i], ids[j][row]]
                plain += vectors[i, 0, ids[i][row]] @ vectors[j, 0, ids[j][row]]
        assert found.effects["parts"][row] == pytest.approx(parts)
        assert found.effects["plain"][row] == pytest.approx(plain)


def effect_table(found: Drawn, name: str, first: str, second: str, shape: tuple[int, int]) -> np.ndarray:
    table = np.full(shape, np.nan)
    table[found.columns[first], found.columns[second]] = found.effects[name]
    return table


def test_two_interests_have_the_joint_rank_that_width_has_to_hold() -> None:
    found = drawn(LatentPairs(users=12, ads=12, rank=2), rows=4000)
    first, second, opposed = (
        effect_table(found, name, "user_id", "ad_id", (12, 12)) for name in ("first", "second", "opposed")
    )
    assert np.linalg.matrix_rank(first) == np.linalg.matrix_rank(second) == 2
    assert np.linalg.matrix_rank(np.concatenate([first, second], axis=1)) == 4
    np.testing.assert_allclose(np.abs(first), np.abs(opposed))
    assert len(np.unique(np.sign(first * opposed).mean(axis=0))) == 2


def test_a_partner_asks_for_one_direction_or_for_all() -> None:
    found = drawn(Partners(size=6, partners=1, values=5), rows=2000)
    assert np.linalg.matrix_rank(effect_table(found, "one", "id", "partner_0", (6, 5))) == 1
    several = Partners(size=30, partners=3, values=2)
    first, second = drawn(several, rows=20_000), drawn(several, rows=20_000)
    np.testing.assert_array_equal(first.effects["full"], second.effects["full"])


def test_fields_tell_groups_as_clearly_as_asked() -> None:
    clear = drawn(HiddenGroups(groups=4, clarity=1.0))
    for group in range(4):
        chosen = clear.columns["trait_0"][clear.hidden["group"] == group]
        assert len(np.unique(chosen)) <= 2
    nothing = drawn(HiddenGroups(groups=4, clarity=0.0))
    counts = np.zeros((4, 16))
    np.add.at(counts, (nothing.hidden["group"], nothing.columns["trait_0"]), 1)
    assert stats.chi2_contingency(counts).pvalue > 1e-4
    schema = PlantedWorld(
        World(mechanisms={"groups": HiddenGroups()}, tasks={"click": Task(weights={"groups/group": 1.0})}), seed=1
    ).schema(train_rows=1)
    assert [key.name for key in schema.segments] == ["hidden_group"]
    assert "hidden_group" not in {column.name for column in schema.input_columns}


def test_new_ads_are_in_no_training_row_and_their_content_tells() -> None:
    world = PlantedWorld(
        World(mechanisms={"content": Content()}, tasks={"click": Task(weights={"content/content": 1.0})}), seed=1
    )
    train, test = world.rows("train", 20_000), world.rows("test", 20_000)
    assert train["hidden_new"].sum() == 0
    assert test["hidden_new"].mean() == pytest.approx(0.5, abs=0.02)
    np.testing.assert_array_equal(test["hidden_new"] == 1, ~np.isin(test["ad_id"], np.arange(4000)))
    found = drawn(Content(spread=0.0), rows=5000)
    # Without spread, ads of one centre have one content, one HashID and one worth.
    _, centre = np.unique(found.columns["content_bits"], axis=0, return_inverse=True)
    for each in range(centre.max() + 1):
        assert np.ptp(found.effects["content"][centre == each]) == 0.0
    assert np.ptp(found.effects["own"][centre == 0]) > 0.0


def test_a_pair_has_the_similarity_that_its_effect_is_made_of() -> None:
    found = drawn(PretrainedPair())
    user, ad = (found.columns[name].astype(np.float64) for name in ("user_vector", "ad_vector"))
    np.testing.assert_allclose(np.linalg.norm(user, axis=1), 1.0, atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(ad, axis=1), 1.0, atol=1e-6)
    cosine = np.einsum("nk,nk->n", user, ad)
    np.testing.assert_allclose(np.sin(3 * cosine), found.effects["near"], atol=1e-5)
    assert stats.kstest(cosine, "uniform", args=(-1, 2)).pvalue > 1e-3


def test_teachers_know_the_logit_and_small_tasks_few_labels() -> None:
    tasks = {
        "click": Task(weights={"evidence/linear": 2.0}, teacher_noise=0.5),
        "buy": Task(weights={"evidence/bent": 1.0}, observed=0.1),
    }
    world = PlantedWorld(World(mechanisms={"evidence": Evidence()}, tasks=tasks), seed=1)
    train, test = world.rows("train", 40_000), world.rows("test", 40_000)
    teacher = train["teacher_click"].astype(np.float64)
    noise = np.log(teacher / (1 - teacher)) - train["true_click"]
    assert noise.std() == pytest.approx(0.5, abs=0.01)
    assert np.isnan(train["buy"]).mean() == pytest.approx(0.9, abs=0.01)
    assert not np.isnan(test["buy"]).any()
    schema = world.schema(train_rows=1)
    assert schema.extras == ("true_click", "true_buy", "teacher_click")
    assert [label.observed for label in schema.labels] == [1.0, 0.1]


def test_one_inner_product_explains_a_fourth_of_four_contexts() -> None:
    found = drawn(Affinities(), rows=40_000)
    explained = stats.pearsonr(found.effects["chosen"], found.effects["sum"]).statistic ** 2
    assert explained == pytest.approx(0.25, abs=0.03)


def test_placements_tell_what_is_a_repeat_or_not() -> None:
    found = drawn(Repeats(), rows=20_000)
    fresh = found.hidden["fresh"]
    np.testing.assert_array_equal(found.extras["repeat_count"] == 0, fresh == 1)
    np.testing.assert_array_equal(found.extras["repeat_gap_days"] == 0, fresh == 1)

    def spread(mechanism: Repeats) -> float:
        found = drawn(mechanism, rows=20_000)
        placements = range(mechanism.placements)
        return float(np.std([found.hidden["fresh"][found.columns["placement"] == each].mean() for each in placements]))

    # Uniform in .5 +- .45: a deviation of .26; by chance alone .016.
    assert spread(Repeats()) > 0.15
    assert spread(Repeats(spread=0.0)) < 0.03


def test_evidence_counts_in_one_region() -> None:
    found = drawn(Region())
    inside = found.hidden["inside"] == 1
    assert inside.mean() == pytest.approx(0.2, abs=0.03)
    assert not found.effects["inside"][~inside].any()
    assert not found.effects["outside"][inside].any()
    np.testing.assert_array_equal(found.columns["region"], found.hidden["inside"])


def test_what_is_far_is_in_no_training_row() -> None:
    far = one_evidence(3.0)
    assert not far.rows("train", 8192)["hidden_far"].any()
    test = far.rows("test", 8192)
    lengths = np.square(test["evidence"]).mean(axis=1)
    assert lengths[test["hidden_far"] == 1].mean() == pytest.approx(9.0, rel=0.05)
    assert lengths[test["hidden_far"] == 0].mean() == pytest.approx(1.0, rel=0.05)


def one_evidence(reach: float) -> PlantedWorld:
    tasks = {"click": Task(weights={"evidence/linear": 1.0})}
    return PlantedWorld(World(mechanisms={"evidence": Evidence(reach=reach)}, tasks=tasks), seed=1)


def test_another_group_shows_in_fields_of_its_own() -> None:
    found = drawn(HiddenGroups(groups=4, clarity=1.0, others=2, other_clarity=1.0))
    for group in range(4):
        mine = found.hidden["group"] == group
        assert len(np.unique(found.columns["trait_0"][mine])) <= 2
        assert len(np.unique(found.columns["trait_8"][mine])) > 2
