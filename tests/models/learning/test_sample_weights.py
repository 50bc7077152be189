"""How much each example counts in training, from flags and columns to the loss ([Tencent] §6.2)."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from fullrank import data, models
from fullrank.data import prepare
from fullrank.models.learning.sample_weights import RepetitionStatistics, of_tasks
from fullrank.models.objectives import exposure_weights, negative_elbo, ziln_loss
from fullrank.models.objectives.losses import binary_cross_entropy, observed_weights, squared_error
from fullrank.trainers import evaluate, export, train
from fullrank.trainers.config.config import ExposureConfig
from fullrank.trainers.training.warnings import exposure_report

NAN = float("nan")
REPETITION = models.Repetition(alpha=0.5, tau_days=1 / float(np.log(2)))
LABELS = (
    data.Label(name="click", mean=0.5),
    data.Label(name="spend", type="value", mean=3.0, positive=0.1, minimum=0.0),
    data.Label(name="buy", mean=0.1),
)
Build = Callable[..., models.Ranker]


@pytest.fixture(scope="module")
def build(every_kind: Any) -> Build:
    """Builds a small ranker whose records tell repeated exposures."""
    schema, vocabularies = every_kind

    def make(
        *, repetition: models.Repetition | None = REPETITION, weight: bool = True, **changes: Any
    ) -> models.Ranker:
        own = dataclasses.replace(
            schema, labels=LABELS, extras=("repeat_count", "repeat_gap_days"), weight="weight" if weight else None
        )
        wiring = models.shared_bottom(tasks=changes.pop("tasks", ("click", "spend", "buy")), width=4)
        options = models.RankerOptions(
            dropout=0.0, unknown_share=0.0, tower=(5,), repetition=repetition, value_loss="squared", **changes
        )
        return models.Ranker(own, wiring, options, vocabularies=vocabularies)

    return make


@pytest.fixture(scope="module")
def batch(make_batch: Callable[..., dict[str, Any]]) -> dict[str, Any]:
    draw = np.random.default_rng(0)
    count = np.where(draw.random(64) < 0.5, 0.0, draw.exponential(3.0, 64)).astype(np.float32)
    count[:3] = NAN  # whoever was not known to have been there
    spend = np.where(draw.random(64) < 0.5, 0.0, draw.exponential(3.0, 64)).astype(np.float32)
    gap = np.where(count > 0, draw.exponential(1.0, 64), NAN).astype(np.float32)
    more = {"repeat_count": count, "repeat_gap_days": gap, "spend": spend}
    return {**make_batch(size=64, seed=1), **{name: tf.constant(values) for name, values in more.items()}}


def _labels(model: models.Ranker, batch: dict[str, Any]) -> tf.Tensor:
    return tf.stack([batch[task] for task in model.wiring.tasks], axis=1)


def test_weights_of_two_tasks_by_hand() -> None:
    # w_rep 1, 3, 5. First task: negatives are rows 0 and 1, so that w_debias = (1 + 3) / 2 = 2. Second task: row 1 was
    # not observed, row 2 is the only negative: w_debias = 5.
    labels = tf.constant([[0.0, 1.0], [0.0, NAN], [1.0, 0.0]])
    repetition = tf.constant([1.0, 3.0, 5.0])
    given = exposure_weights(labels=labels, repetition=repetition)
    np.testing.assert_array_equal(given, [[1, 5], [3, 0], [2, 5]])
    # With the examples' weights 3, 1, 2, of which one is missing: (3 * 1 + 1 * 3) / 4 = 1.5, times 2 and times 1.
    weights = tf.constant([3.0, NAN, 2.0])
    given = exposure_weights(labels=labels, repetition=repetition, weights=weights)
    np.testing.assert_array_equal(given, [[3, 15], [3, 0], [3, 10]])


def test_all_tasks_at_once_are_each_task_alone() -> None:
    draw = np.random.default_rng(2)
    labels = np.where(draw.random((50, 3)) < 0.2, np.nan, draw.integers(0, 2, (50, 3))).astype(np.float32)
    repetition, weights = tf.constant(1 + draw.random(50, np.float32)), tf.constant(draw.random(50, np.float32))
    given = exposure_weights(labels=tf.constant(labels), repetition=repetition, weights=weights)
    for task in range(3):
        alone = exposure_weights(labels=tf.constant(labels[:, task]), repetition=repetition, weights=weights)
        np.testing.assert_allclose(given[:, task], alone, rtol=1e-6)


@pytest.mark.parametrize("weighted", [False, True])
def test_the_weighted_share_of_positives_is_the_unweighted_one(
    build: Build, batch: dict[str, Any], weighted: bool
) -> None:
    model = build(weight=weighted)
    labels = _labels(model, batch)
    given = model.learning.sample_weights(batch, labels).numpy().astype(np.float64)
    own = observed_weights(labels, batch["weight"] if weighted else None).numpy().astype(np.float64)
    positive = labels.numpy() > 0.5
    for task in (0, 2):
        share = (given * positive)[:, task].sum() / given[:, task].sum()
        assert abs(share - (own * positive)[:, task].sum() / own[:, task].sum()) < 1e-6
        assert (given > own + 0.01)[:, task].any()
    np.testing.assert_array_equal(given[:, 1], own[:, 1])  # a task with a real value


def test_without_repetition_the_weight_is_the_schemas(build: Build, batch: dict[str, Any]) -> None:
    model = build(repetition=None)
    assert model.learning.sample_weights(batch, _labels(model, batch)) is batch["weight"]
    assert build(repetition=None, weight=False).learning.sample_weights(batch, _labels(model, batch)) is None


def test_the_loss_is_the_weighted_one_and_metrics_are_left_alone(build: Build, batch: dict[str, Any]) -> None:
    plain, model = build(repetition=None), build()
    for number, weight in enumerate(plain.trainable_weights):
        weight.assign_add(tf.random.stateless_normal(weight.shape, (number, 2), stddev=0.5))
    model.set_weights([*plain.get_weights(), *model.get_weights()[len(plain.get_weights()) :]])
    np.testing.assert_allclose(plain(batch)["click"], model(batch)["click"], rtol=1e-6)
    losses = [each.compute_loss(batch).numpy() for each in (plain, model)]
    labels, logits = _labels(model, batch), tf.stack([model.logits(batch)[task] for task in ("click", "buy")], axis=1)
    weights = model.learning.sample_weights(batch, labels)
    changes = []
    for column, task in enumerate((0, 2)):
        given = (weights[:, task], batch["weight"])
        new, old = (binary_cross_entropy(labels=labels[:, task], logits=logits[:, column], weights=w) for w in given)
        changes.append((new - old).numpy() / 3)  # each of three tasks is a third of the loss
    np.testing.assert_allclose(losses[1] - losses[0], sum(changes), rtol=1e-4)
    assert abs(sum(changes)) > 1e-3
    found = [{metric.name: metric for metric in each.metrics} for each in (plain, model)]
    for statistic, value in found[0]["tasks"].result().items():
        np.testing.assert_array_equal(value, found[1]["tasks"].result()[statistic])


def test_first_exposures_alone_leave_the_loss_alone(build: Build, batch: dict[str, Any]) -> None:
    model = build()
    first = {**batch, "repeat_count": tf.zeros(64), "repeat_gap_days": tf.fill([64], NAN)}
    weights = model.learning.sample_weights(first, _labels(model, first))
    np.testing.assert_allclose(weights, observed_weights(_labels(model, first), batch["weight"]), rtol=1e-6)


@pytest.mark.parametrize("head", ["logit", "gp"])
def test_fit_takes_them_with_every_head(build: Build, batch: dict[str, Any], head: Any) -> None:
    model = build(head=head, tasks=("click", "buy"), **({"inducing_points": 8} if head == "gp" else {}))
    model.compile(optimizer="sgd")
    history = model.fit(tf.data.Dataset.from_tensors(batch).repeat(2), verbose=0).history
    assert np.isfinite(history["loss"][0])
    assert 0 < history["repeat_share"][0] < 1 < history["repeat_weight"][0]
    assert history["click_debias"][0] > 1


def test_every_loss_takes_a_weight_for_each_task() -> None:
    # Equal weights of all tasks are the weights of the examples.
    draw = np.random.default_rng(3)
    labels = tf.constant(np.where(draw.random((20, 2)) < 0.2, np.nan, draw.integers(0, 2, (20, 2))), tf.float32)
    logits, weights = tf.constant(draw.normal(size=(20, 2)), tf.float32), tf.constant(draw.random(20), tf.float32)
    each = tf.stack([weights, weights], axis=1)
    losses: tuple[Callable[[tf.Tensor], tf.Tensor], ...] = (
        lambda w: binary_cross_entropy(labels=labels, logits=logits, weights=w),
        lambda w: squared_error(labels=labels, predictions=logits, weights=w),
        lambda w: ziln_loss(labels=labels, logits=logits, location=logits, scale=tf.ones_like(logits), weights=w),
        lambda w: negative_elbo(
            labels=labels, mean=logits, variance=tf.ones_like(logits), divergence=0.0, examples=1.0, weights=w
        ),
    )
    for loss in losses:
        np.testing.assert_allclose(loss(each), loss(weights), rtol=1e-6)
    assert of_tasks(None, tf.identity) is None
    assert of_tasks(weights, lambda _: labels) is weights
    assert of_tasks(each, lambda _: labels) is labels


def test_statistics_by_hand() -> None:
    # Two batches: of four rows two repeat, with w_rep 3 and 2: mean 2.5. Negatives of the first task weigh 1, 2 and 1
    # with w_rep 1, 3 and 1: (1 + 6 + 1) / 4 = 2. The second task has none.
    metric = RepetitionStatistics(("click", "buy"))
    again = tf.constant([False, True])
    labels = tf.constant([[0.0, 1.0], [0.0, NAN]])
    metric.update_state(tf.constant([1.0, 3.0]), again, labels, sample_weight=tf.constant([1.0, 2.0]))
    metric.update_state(tf.constant([1.0, 2.0]), again, tf.constant([[0.0, NAN], [1.0, 1.0]]))
    found = {name: float(value) for name, value in metric.result().items()}
    assert found.pop("buy_debias") != found.get("buy_debias")
    assert found == {"repeat_share": 0.5, "repeat_weight": 2.5, "click_debias": 2.0}
    again_built = RepetitionStatistics.from_config(metric.get_config())
    assert again_built.result().keys() == metric.result().keys()
    metric.reset_state()
    assert float(metric.result()["repeat_weight"]) == 1.0


def test_a_column_that_is_not_there_is_named(build: Build) -> None:
    with pytest.raises(ValueError, match=r"needs the column 'seen', which data set 'every_kind' does not have"):
        build(repetition=models.Repetition(count="seen"))
    with pytest.raises(ValueError, match="needs the column 'user'"):  # not a number
        build(repetition=models.Repetition(gap_days="user"))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"repetition_alpha": 2.0}, "--repetition_alpha has to be at most 1. Received: 2."),
        ({"repetition_columns": ("one",)}, "--repetition_columns takes two columns, count and days. Received: 'one'."),
        ({"repetition_recency": "gap", "repetition_tau_days": 2.0}, "--repetition_tau_days has no effect with"),
        ({"repetition_weight": False, "repetition_alpha": 0.1}, "--repetition_alpha has no effect without"),
    ],
)
def test_flags_that_contradict_each_other(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ExposureConfig(**{"repetition_weight": True, **changes})


def test_the_report_names_what_is_undefined() -> None:
    assert exposure_report({}, tasks=["click"]) == ""
    found = exposure_report(
        {"repeat_share": 0.5, "repeat_weight": 3.0, "click_debias": None, "click_bias": 1.25}, tasks=["click"]
    )
    assert found.splitlines() == [
        "Repetition weight: 50.0% of the rows repeat an exposure, their mean w_rep is 3.000; of all rows 2.000.",
        "  click: w_debias undefined, predicted / observed 1.250 in training.",
    ]


def _ran(capsys: pytest.CaptureFixture[str], command: Any, *words: str) -> tuple[int, str, str]:
    code = 0
    try:
        command.run(["program", *words])
    except SystemExit as end:
        code = int(end.code or 0)
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_from_the_command_line_to_the_served_model(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    world = ["--dataset=synthetic", "--rows=3000", "--users=60", "--ads=60", "--noprogress"]
    assert _ran(capsys, prepare, *world, f"--output={tmp_path}/records", "--exposures=user_id:ad_id")[0] == 0
    small = [f"--data={tmp_path}/records", "--model=single", "--widths=4", "--experts=flat", "--hidden=8"]
    small += ["--epochs=1", "--batch_size=256", "--progress=none", "--tensorboard=false"]
    code, out, _ = _ran(capsys, train, *small, "--tasks=click,like", "--repetition_weight", f"--output={tmp_path}/run")
    assert code == 0
    assert "of the rows repeat an exposure, their mean w_rep is" in out
    assert "  like: w_debias 1." in out
    result = json.loads((tmp_path / "run" / "result.json").read_text())
    assert result["best"]["click_debias"] > 1
    assert json.loads((tmp_path / "run" / "config.json").read_text())["config"]["exposure"]["repetition_weight"]
    assert _ran(capsys, evaluate, f"--run={tmp_path}/run")[0] == 0
    assert _ran(capsys, export, f"--run={tmp_path}/run", f"--output={tmp_path}/served")[0] == 0
    loaded = tf.saved_model.load(str(tmp_path / "served" / "1"))
    inputs = loaded.signatures["serving_default"].structured_input_signature[1]
    assert "user_id" in inputs
    assert not {"repeat_count", "repeat_gap_days"} & inputs.keys()
    code, _, err = _ran(capsys, train, *small, "--repetition_weight", f"--output={tmp_path}/run")
    assert code != 0  # another configuration does not resume this run
    plain = [word.replace("records", "plain") for word in small]
    assert _ran(capsys, prepare, *world, f"--output={tmp_path}/plain")[0] == 0
    code, _, err = _ran(capsys, train, *plain, "--repetition_weight", f"--output={tmp_path}/other")
    assert code == 1
    assert err.startswith("error: The repetition weight needs the column 'repeat_count', which data set 'synthetic'")
