"""The losses of binary tasks: each option against the function it stands for, and against numbers by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from fullrank.models import ObjectiveOptions
from fullrank.models.learning.binary_losses import BinaryLosses, of_each_task
from fullrank.models.objectives import (
    class_balanced_cross_entropy,
    focal_loss,
    joint_ranking_and_calibration,
    listwise_softmax_loss,
    pairwise_loss,
)
from fullrank.models.objectives.losses import binary_cross_entropy

RATES = np.array([0.5, 0.25])
LABELS = tf.constant([[1.0, 0.0], [0.0, 1.0], [0.0, np.nan], [1.0, 0.0]])
LOGITS = tf.constant([[0.3, -1.0], [-0.2, 0.7], [0.5, 9.0], [1.1, 0.2]])
KEYS = tf.constant([b"a", b"a", b"b", b"b"])


def losses(**options: Any) -> BinaryLosses:
    return BinaryLosses(ObjectiveOptions(**options), base_rates=RATES, labels=np.full(len(RATES), 1000.0))


def column(task: int) -> dict[str, tf.Tensor]:
    return {"labels": LABELS[:, task], "logits": LOGITS[:, task]}


def test_by_hand() -> None:
    # Task 0: one pair per key. Key a: positive .3, negative -.2, softplus(-.5) = .474077. Key b: 1.1 and .5,
    # softplus(-.6) = .437488. Mean .4557825. Cross entropies: softplus(-.3) = .554355, softplus(-.2) = .598139,
    # softplus(.5) = .974077, softplus(-1.1) = .287333; mean .603476. Joined with w = 1/4: .75 x .603476 + .25 x
    # .4557825 = .566553.
    found = losses(ranking="pairwise", ranking_weight=0.25)(labels=LABELS, logits=LOGITS, keys=KEYS)
    assert float(found[0]) == pytest.approx(0.566553, abs=2e-6)
    # Task 1 has a pair in key a alone: positive .7, negative -1, softplus(-1.7) = .167786. Cross entropies of the three
    # observed: softplus(-1) = .313262, softplus(-.7) = .403186, softplus(.2) = .798139; mean .504862.
    assert float(found[1]) == pytest.approx(0.75 * 0.504862 + 0.25 * 0.167786, abs=2e-6)


@pytest.mark.parametrize("keys", [None, KEYS], ids=["batch", "keys"])
@pytest.mark.parametrize("w", [0.0, 0.3])
def test_ranking_joins_cross_entropy(keys: Any, w: float) -> None:
    for name, loss in (("pairwise", pairwise_loss), ("listwise", listwise_softmax_loss)):
        found = losses(ranking=name, ranking_weight=w)(labels=LABELS, logits=LOGITS, keys=keys).numpy()
        for task in (0, 1):
            expected = (1 - w) * binary_cross_entropy(**column(task)) + w * loss(**column(task), keys=keys)
            assert found[task] == pytest.approx(float(expected), rel=1e-6)


def test_jrc_reads_level_and_logit() -> None:
    levels = tf.constant([[0.1, 0.2], [0.0, -0.3], [0.4, 0.0], [-0.5, 0.6]])
    found = losses(ranking="jrc", ranking_weight=0.4)(labels=LABELS, logits=LOGITS, levels=levels, keys=KEYS).numpy()
    for task in (0, 1):
        pair = tf.stack([levels[:, task], levels[:, task] + LOGITS[:, task]], axis=1)
        expected = joint_ranking_and_calibration(labels=LABELS[:, task], logits=pair, keys=KEYS, calibration_weight=0.6)
        assert found[task] == pytest.approx(float(expected), rel=1e-6)
    # Without levels, where a model is validated, only its calibration is left: the cross entropy.
    plain = losses(ranking="jrc")(labels=LABELS, logits=LOGITS).numpy()
    np.testing.assert_allclose(plain, binary_cross_entropy(labels=LABELS, logits=LOGITS).numpy(), rtol=1e-6)


def test_focal_and_class_balanced() -> None:
    focal = losses(classification="focal", focus=1.5)(labels=LABELS, logits=LOGITS).numpy()
    balanced = losses(classification="class_balanced", balance=0.99)(labels=LABELS, logits=LOGITS).numpy()
    for task, rate in enumerate(RATES):
        assert focal[task] == pytest.approx(float(focal_loss(**column(task), focus=1.5)), rel=1e-6)
        expected = class_balanced_cross_entropy(
            **column(task), positives=1000 * rate, negatives=1000 * (1 - rate), beta=0.99
        )
        assert balanced[task] == pytest.approx(float(expected), rel=1e-6)


@pytest.mark.parametrize("ranking", ["none", "pairwise", "listwise"])
def test_a_weight_a_label_is_that_of_its_task(ranking: Any) -> None:
    weights = tf.constant([[1.0, 0.5], [2.0, 1.0], [0.0, 3.0], [1.5, 1.0]])
    both = losses(ranking=ranking)(labels=LABELS, logits=LOGITS, weights=weights).numpy()
    for task in (0, 1):
        alone = BinaryLosses(ObjectiveOptions(ranking=ranking), base_rates=RATES[:1], labels=np.ones(1))
        one = alone(labels=LABELS[:, task : task + 1], logits=LOGITS[:, task : task + 1], weights=weights[:, task])
        assert both[task] == pytest.approx(float(one[0]), rel=1e-6)


def test_pairs_beyond_the_cap_are_drawn_by_the_seed() -> None:
    draw = np.random.default_rng(0)
    labels = tf.constant((draw.random((400, 2)) < 0.5).astype(np.float32))
    logits = tf.constant(draw.normal(size=(400, 2)).astype(np.float32))
    few = losses(ranking="pairwise", max_pairs=100)
    first, again, other = (few(labels=labels, logits=logits, seed=tf.constant([3, step])).numpy() for step in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert (first != other).all()


def test_many_tasks_are_one_graph() -> None:
    def nodes(tasks: int) -> int:
        spec = tf.TensorSpec([None, tasks])
        given = BinaryLosses(
            ObjectiveOptions(ranking="pairwise"), base_rates=np.full(tasks, 0.5), labels=np.ones(tasks)
        )
        graph = tf.function(lambda labels, logits: given(labels=labels, logits=logits), input_signature=[spec, spec])
        return len(graph.get_concrete_function().graph.get_operations())

    assert nodes(40) == nodes(2)


def test_of_each_task_passes_gradients() -> None:
    z = tf.Variable([[1.0, 2.0], [3.0, 4.0]])
    with tf.GradientTape() as tape:
        value = tf.reduce_sum(of_each_task(lambda each: tf.reduce_sum(tf.square(each)), z) * [1.0, 10.0])
    np.testing.assert_allclose(tape.gradient(value, z).numpy(), [[2.0, 40.0], [6.0, 80.0]])


def test_uncertain_logits_by_hand() -> None:
    # One logit of mean 0 and variance 1.5 on a positive, one of mean -1 and variance 0 on a negative. By symmetry of
    # f, E softplus(-f) = E softplus(f); a sum over 10^6 equal steps from -12 to 12 deviations gives .8559147. The
    # negative has softplus(-1) = .3132617; mean .5845882, and with KL / N = .02 it is .6045882. The means make one
    # pair, softplus(-1 - 0) = .3132617. Joined with w = 1/4: .75 x .6045882 + .25 x .3132617 = .5317566.
    z = np.linspace(-12.0, 12.0, 1_000_001)
    density = np.exp(-0.5 * z**2)
    expected = (np.logaddexp(0.0, np.sqrt(1.5) * z) * density).sum() / density.sum()
    assert expected == pytest.approx(0.8559147, abs=1e-7)
    given = {
        "labels": tf.constant([[1.0], [0.0]]),
        "logits": tf.constant([[0.0], [-1.0]]),
        "variance": tf.constant([[1.5], [0.0]]),
        "divergence": tf.constant([0.02]),
    }
    one = BinaryLosses(
        ObjectiveOptions(ranking="pairwise", ranking_weight=0.25), base_rates=RATES[:1], labels=np.array([9.0])
    )
    np.testing.assert_allclose(one(**given), [0.5317566], atol=2e-6)
    # JRC with f_0 = 0 on both: p(x_i | y) over two examples. The positive has f_1 = 0 among (0, -1): ln(1 + e^-1) =
    # .3132617; the negative f_0 = 0 among (0, 0): ln 2. Mean .5032044. .75 x .6045882 + .25 x .5032044 = .5792423.
    jrc = BinaryLosses(
        ObjectiveOptions(ranking="jrc", ranking_weight=0.25), base_rates=RATES[:1], labels=np.array([9.0])
    )
    np.testing.assert_allclose(jrc(**given, levels=tf.zeros([2, 1])), [0.5792423], atol=2e-6)


@pytest.mark.parametrize("ranking", ["pairwise", "listwise", "jrc"])
def test_ranking_leaves_the_variances_to_the_evidence(ranking: Any) -> None:
    variance = tf.constant([[0.5, 1.0], [2.0, 0.1], [0.3, 0.7], [1.5, 0.2]])
    gradients = []
    for given in (losses(), losses(ranking=ranking, ranking_weight=0.25)):
        with tf.GradientTape() as tape:
            tape.watch(variance)
            found = given(
                labels=LABELS, logits=LOGITS, variance=variance, divergence=tf.zeros([2]), levels=tf.ones([4, 2])
            )
            total = tf.reduce_sum(found)
        gradients.append(tape.gradient(total, variance).numpy())
    np.testing.assert_allclose(gradients[1], 0.75 * gradients[0], rtol=1e-5)
    assert gradients[0][2, 1] == 0.0  # not observed


@pytest.mark.parametrize("ranking", ["none", "pairwise", "listwise", "jrc"])
def test_without_variance_uncertain_logits_are_logits(ranking: Any) -> None:
    given = losses(ranking=ranking)
    plain = given(labels=LABELS, logits=LOGITS, levels=tf.ones([4, 2]), keys=KEYS)
    uncertain = given(
        labels=LABELS,
        logits=LOGITS,
        variance=tf.zeros([4, 2]),
        divergence=tf.zeros([2]),
        levels=tf.ones([4, 2]),
        keys=KEYS,
    )
    np.testing.assert_allclose(uncertain, plain, rtol=1e-5)
