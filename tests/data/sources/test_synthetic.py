"""The synthetic set holds what it says: rates, contradictions, decay, fatigue, delays, duplicates, vectors."""

from __future__ import annotations

import dataclasses

import numpy as np
import numpy.typing as npt
import pytest
from sklearn.metrics import roc_auc_score

from fullrank.data.sources import synthetic
from fullrank.data.sources.source import Source
from fullrank.data.sources.synthetic_events import Impressions, draw_impressions
from fullrank.data.sources.synthetic_world import DAY, SyntheticConfig, World, draw_world

CONFIG = SyntheticConfig(rows=60_000, users=1_500, ads=400, seed=5)


@pytest.fixture(scope="module")
def world() -> World:
    return draw_world(CONFIG)


@pytest.fixture(scope="module")
def log(world: World) -> Impressions:
    return draw_impressions(world)


@pytest.fixture(scope="module")
def source() -> Source:
    return synthetic.load(config=CONFIG)


def logit(probability: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    return np.asarray(np.log(probability) - np.log1p(-probability))


def calibration_z(labels: npt.NDArray[np.float64], probability: npt.NDArray[np.float64]) -> float:
    """How many standard deviations the number of positives is away from what the probabilities promise."""
    return float((labels - probability).sum() / np.sqrt((probability * (1 - probability)).sum()))


def test_labels_are_drawn_from_the_true_probabilities(log: Impressions) -> None:
    chances = [
        (log.click, log.click_probability),
        (log.like, log.like_probability),
        (log.conversion, log.click_probability * log.conversion_probability),
    ]
    for labels, probability in chances:
        # Within each fifth by probability, so that a wrong slope shows, not only a wrong mean. Fifteen draws of a
        # standard normal stay within 4 except once in a thousand seeds; the seed is fixed.
        for rows in np.array_split(np.argsort(probability), 5):
            assert abs(calibration_z(labels[rows], probability[rows])) < 4


def test_rates_are_those_asked_for(log: Impressions) -> None:
    assert log.click_probability.mean() == pytest.approx(CONFIG.click_rate)
    assert log.like_probability.mean() == pytest.approx(CONFIG.like_rate)
    over_clicks = np.average(log.conversion_probability, weights=log.click_probability)
    assert over_clicks == pytest.approx(CONFIG.conversion_rate)


def test_planted_pairs_are_near_in_one_task_and_far_in_the_other(world: World, log: Impressions) -> None:
    planted = world.ad_contradicts[log.ad]
    assert 0.15 < planted.mean() < 0.45
    near, liked = world.click_affinity(log.user, log.ad), world.like_affinity(log.user, log.ad)
    assert np.corrcoef(near[planted], liked[planted])[0, 1] < -0.9
    assert np.corrcoef(near[~planted], liked[~planted])[0, 1] > 0.9
    # It reaches the labels: whoever is near clicks more, and likes less just where it was planted.
    assert roc_auc_score(log.click[planted], near[planted]) > 0.65
    assert roc_auc_score(log.like[planted], near[planted]) < 0.35
    assert roc_auc_score(log.like[~planted], near[~planted]) > 0.65


def test_interest_decays_with_the_age_of_a_behaviour(world: World, log: Impressions) -> None:
    # By hand, on single rows: the sum of exp(-age in days / interest_days) over behaviours in the ad's category.
    begins = np.cumsum(log.history_length) - log.history_length
    for row in range(100, 60_000, 5_000):
        events = slice(begins[row], begins[row] + log.history_length[row])
        age = (log.time[row] - log.history_time[events]) / (CONFIG.interest_days * DAY)
        same = world.ad_category[log.history_ad[events]] == world.ad_category[log.ad[row]]
        assert np.all(age > 0)
        assert np.all(np.diff(log.history_time[events]) >= 0)
        assert log.interest[row] == pytest.approx(np.exp(-age[same]).sum())
    # And it says more of the click than the same count without decay.
    row_of = np.repeat(np.arange(CONFIG.rows), log.history_length)
    match = world.ad_category[log.history_ad] == world.ad_category[log.ad][row_of]
    plain = np.bincount(row_of, weights=match, minlength=CONFIG.rows)
    assert roc_auc_score(log.click, log.interest) > roc_auc_score(log.click, plain)


def test_interest_and_fatigue_enter_the_logit_with_their_weights(world: World) -> None:
    """Twice the weight of one effect moves the logits by that effect and by a constant, and by nothing else."""
    small = dataclasses.replace(CONFIG, rows=5_000)
    base = draw_impressions(draw_world(small))
    stronger = draw_impressions(draw_world(dataclasses.replace(small, interest=2 * CONFIG.interest)))
    moved = (
        logit(stronger.click_probability) - logit(base.click_probability) - CONFIG.interest * np.log1p(base.interest)
    )
    assert np.ptp(moved) < 1e-9
    tired = draw_impressions(draw_world(dataclasses.replace(small, fatigue=2 * CONFIG.fatigue)))
    moved = logit(tired.click_probability) - logit(base.click_probability) + CONFIG.fatigue * base.fatigue
    assert np.ptp(moved) < 1e-9


def test_exposures_count_what_the_person_saw_before(log: Impressions) -> None:
    seen: dict[tuple[int, int], list[int]] = {}
    for row in range(20_000):
        pair = (int(log.user[row]), int(log.ad[row]))
        earlier = [time for time in seen.get(pair, []) if time < log.time[row]]
        assert log.exposure_count[row] == len(earlier)
        if earlier:
            assert log.exposure_gap[row] == log.time[row] - max(earlier)
            recent = np.array(sorted(earlier)[-32:])
            decayed = np.exp(-(log.time[row] - recent) / (CONFIG.fatigue_days * DAY)).sum()
            assert log.fatigue[row] == pytest.approx(decayed)
        else:
            assert np.isnan(log.exposure_gap[row])
            assert log.fatigue[row] == 0
        seen.setdefault(pair, []).append(int(log.time[row]))
    assert (log.exposure_count > 0).mean() > 0.3


def test_conversions_follow_clicks_after_a_delay(world: World, log: Impressions) -> None:
    assert np.all(log.click[log.conversion == 1] == 1)
    assert np.array_equal(np.isnan(log.conversion_delay), log.conversion == 0)
    converted = log.conversion == 1
    waited = log.conversion_delay[converted] / world.ad_delay[log.ad[converted]]
    assert waited.min() >= 0
    assert waited.mean() == pytest.approx(1, abs=0.1)  # exponential, in units of the ad's mean
    assert waited.std() == pytest.approx(1, abs=0.15)


def test_duplicates_share_the_truth_and_nearly_the_content(world: World, log: Impressions) -> None:
    ads = np.arange(CONFIG.ads)
    copies = np.flatnonzero(world.ad_creative != ads)
    originals = world.ad_creative[copies]
    assert len(copies) == int(CONFIG.duplicate_share * (CONFIG.ads - CONFIG.categories))
    assert np.array_equal(world.ad_creative[originals], originals)
    for truth in (world.ad_click, world.ad_like, world.ad_category, world.ad_appeal, world.ad_price):
        assert np.array_equal(truth[copies], truth[originals])
    cosine = np.einsum("nk,nk->n", world.ad_content[copies], world.ad_content[originals])
    assert cosine.min() > 0.99
    others = world.ad_content[: copies[0]] @ world.ad_content[: copies[0]].T
    assert np.median(np.triu(others, 1).max(axis=1)) < 0.95
    assert np.all(world.ad_starts[copies] > 0)
    start = log.time.min()
    assert np.all(log.time - start + 1 >= np.floor(world.ad_starts[log.ad]) - 1)


def test_pretrained_vectors_carry_a_noisy_affinity(world: World, log: Impressions) -> None:
    user, ad = world.user_vector[log.user], world.ad_vector[log.ad]
    there = ~np.isnan(user[:, 0]) & ~np.isnan(ad[:, 0])
    assert 0.8 < there.mean() < 0.99
    cosine = np.einsum("nk,nk->n", user, ad) / np.linalg.norm(user, axis=1) / np.linalg.norm(ad, axis=1)
    near = world.click_affinity(log.user, log.ad)
    assert 0.6 < np.corrcoef(cosine[there], near[there])[0, 1] < 0.95
    assert roc_auc_score(log.click[there], cosine[there]) > 0.6


def test_hidden_groups_lie_together(world: World) -> None:
    centres = np.stack([world.user_latent[world.user_group == group].mean(axis=0) for group in range(CONFIG.groups)])
    nearest = (world.user_latent @ (centres / np.linalg.norm(centres, axis=1, keepdims=True)).T).argmax(axis=1)
    assert (nearest == world.user_group).mean() > 0.6  # by chance 1/8


def test_small_fields_matter_together(world: World, log: Impressions) -> None:
    """The ad's effect depends on gender: its click rates in the two groups differ more than noise explains."""
    sign = 2 * world.user_gender[log.user] - 1
    assert np.corrcoef(log.click - log.click_probability.mean(), sign * world.ad_gender[log.ad])[0, 1] > 0.05
    assert abs(np.corrcoef(log.click, world.ad_gender[log.ad])[0, 1]) < 0.05


def test_the_same_seed_gives_the_same_log_and_more_rows_the_same_world() -> None:
    small = SyntheticConfig(rows=2_000, users=100, ads=60, seed=1)
    first, second = (synthetic.load(config=small) for _ in range(2))
    assert all(first.table(name).equals(second.table(name)) for name in first.splits)
    other = synthetic.load(config=dataclasses.replace(small, seed=2))
    assert not first.table("train").equals(other.table("train"))
    larger = draw_world(dataclasses.replace(small, rows=5_000))
    assert np.array_equal(draw_world(small).user_latent, larger.user_latent)
    assert np.array_equal(draw_world(small).ad_content, larger.ad_content)


def test_records_show_what_happened_and_hide_the_latents(source: Source, log: Impressions) -> None:
    train, test = source.table("train"), source.table("test")
    assert (train.num_rows, test.num_rows) == (48_000, 6_000)
    assert {column.name for column in source.schema.columns} == set(train.column_names)
    assert np.all(np.diff(train["timestamp"].to_numpy()) >= 0)
    assert train["timestamp"].to_numpy().max() <= test["timestamp"].to_numpy().min()
    assert train["click"].to_numpy().tolist() == log.click[:48_000].tolist()
    assert train["true_click"].to_numpy() == pytest.approx(log.click_probability[:48_000], rel=1e-6)
    features = {feature.name for feature in source.schema.features}
    assert not features & {"true_click", "true_like", "true_conversion", "user_group", "creative", "contradictory"}
    assert 0 < np.mean(test["ad_is_new"].to_numpy()) < 0.2
    assert 0 < np.mean(test["user_is_new"].to_numpy()) < 0.5
    assert train["age"].null_count > 0
    assert train["user_vector"].null_count > 0
    assert max(len(row) for row in test["history_ad"].to_pylist()) == CONFIG.history


def test_the_notice_gives_the_score_of_the_truth(source: Source, log: Impressions) -> None:
    best = roc_auc_score(log.click[54_000:], log.click_probability[54_000:])
    assert 0.75 < best < 0.9
    assert f"click AUC {best:.4f}" in source.notice
    assert "like AUC" in source.notice
    assert "conversion AUC" in source.notice


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"users": 0}, "users >= 1"),
        ({"ads": 30}, "two ads per category"),
        ({"vector_length": 4}, "vector_length must be at least latent"),
        ({"click_rate": 1.0}, "click_rate must lie between 0 and 1"),
        ({"late_share": -0.1}, r"late_share must lie in \[0, 1\]"),
        ({"rows": 9}, "9 rows are too few"),
    ],
)
def test_impossible_sizes_are_refused(changes: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        synthetic.load(config=dataclasses.replace(SyntheticConfig(users=50, rows=1_000), **changes))  # type: ignore[arg-type]
