"""Distillation, residual learning and the moving-average teacher ([Meta] §3.2)."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras

from fullrank.layers import Towers
from fullrank.models.objectives import (
    EmaTeacher,
    distillation_loss,
    ema_update,
    main_and_distillation,
    residual_learning_loss,
    residual_loss,
    residual_targets,
)
from fullrank.models.objectives.losses import binary_cross_entropy

NAN = float("nan")
LN3 = float(np.log(3.0))


def test_distillation_by_hand() -> None:
    # sigma(ln 3) = 3/4: CE(f, 1/4) = -(1/4) ln(3/4) - (3/4) ln(1/4) = ln 4 - (1/4) ln 3. The other has no teacher.
    loss = distillation_loss(teacher=tf.constant([0.25, NAN]), logits=tf.constant([LN3, 5.0]))
    np.testing.assert_allclose(loss.numpy(), np.log(4) - LN3 / 4, rtol=1e-6)


def test_distillation_is_least_at_the_teacher_and_never_trains_it() -> None:
    teacher = tf.Variable([0.25, 0.6])
    logits = tf.Variable(np.log([0.25 / 0.75, 0.6 / 0.4]).astype(np.float32))
    with tf.GradientTape() as tape:
        loss = distillation_loss(teacher=teacher, logits=logits)
    of_teacher, of_logits = tape.gradient(loss, [teacher, logits])
    assert of_teacher is None
    np.testing.assert_allclose(of_logits.numpy(), 0.0, atol=1e-7)


def test_main_and_distillation_is_the_sum() -> None:
    y, p, f, g = (tf.constant(v) for v in ([1.0, 0.0], [0.3, 0.2], [0.5, -1.0], [0.1, 0.2]))
    total = main_and_distillation(labels=y, teacher=p, logits=f, pseudo_logits=g)
    parts = binary_cross_entropy(labels=y, logits=f) + binary_cross_entropy(labels=p, logits=g)
    np.testing.assert_allclose(total.numpy(), parts.numpy(), rtol=1e-6)


def test_targets_by_hand() -> None:
    labels, teacher = tf.constant([0.0, 1.0, NAN, 1.0]), tf.constant([0.25, 0.25, 0.5, NAN])
    np.testing.assert_allclose(residual_targets(labels=labels, teacher=teacher), [0.25, 0.75, NAN, NAN])
    literal = residual_targets(labels=labels, teacher=teacher, target="literal")
    np.testing.assert_allclose(literal, [-0.25, 0.75, NAN, NAN])


def test_residual_by_hand() -> None:
    # softplus(ln 3) = ln 4. Negative, p = 1/4: ln 4 - (1/4) ln 3, literally ln 4 + (1/4) ln 3; positive, 1 - p = 3/4:
    # ln 4 - (3/4) ln 3. Logits of the class an example is not of are far away and must not matter.
    inputs = {
        "labels": tf.constant([0.0, 1.0, NAN]),
        "teacher": tf.constant([0.25, 0.25, 0.5]),
        "negative_logits": tf.constant([LN3, 77.0, 77.0]),
        "positive_logits": tf.constant([-77.0, LN3, -77.0]),
    }
    np.testing.assert_allclose(residual_loss(**inputs).numpy(), np.log(4) - LN3 / 2, rtol=1e-6)
    np.testing.assert_allclose(residual_loss(**inputs, target="literal").numpy(), np.log(4) - LN3 / 4, rtol=1e-6)
    weighted = residual_loss(**inputs, weights=tf.constant([3.0, 1.0, 9.0]))
    np.testing.assert_allclose(weighted.numpy(), np.log(4) - (3 / 4 + 3 / 4) * LN3 / 4, rtol=1e-6)
    with pytest.raises(ValueError, match=r"'magnitude' or 'literal'. Received: 'abs'"):
        residual_loss(**inputs, target="abs")  # type: ignore[arg-type]


def test_each_class_trains_its_own_function_only() -> None:
    labels, teacher = tf.constant([0.0, 1.0]), tf.Variable([0.25, 0.25])
    f0, f1 = tf.Variable([0.3, 0.3]), tf.Variable([0.3, 0.3])
    with tf.GradientTape() as tape:
        loss = residual_loss(labels=labels, teacher=teacher, negative_logits=f0, positive_logits=f1)
    of_f0, of_f1, of_teacher = tape.gradient(loss, [f0, f1, teacher])
    sigma = 1 / (1 + np.exp(-0.3))
    np.testing.assert_allclose(of_f0.numpy(), [(sigma - 0.25) / 2, 0.0], rtol=1e-5)
    np.testing.assert_allclose(of_f1.numpy(), [0.0, (sigma - 0.75) / 2], rtol=1e-5)
    assert of_f0.numpy()[1] == of_f1.numpy()[0] == 0.0
    assert of_teacher is None


def test_nothing_observed_is_zero() -> None:
    f = tf.Variable([1.0])
    for label, p in ((NAN, 0.5), (1.0, NAN)):
        with tf.GradientTape() as tape:
            loss = residual_loss(
                labels=tf.constant([label]), teacher=tf.constant([p]), negative_logits=f, positive_logits=f
            )
        assert loss.numpy() == 0.0
        assert tape.gradient(loss, f).numpy() == [0.0]


def descend(target: str, steps: int) -> tuple[float, float]:
    """Gradient descent on the one logit of a negative with p = 0.2; returns the logit and the last loss."""
    f = tf.Variable([0.0])
    loss = tf.constant(0.0)
    for _ in range(steps):
        with tf.GradientTape() as tape:
            loss = residual_loss(
                labels=tf.constant([0.0]),
                teacher=tf.constant([0.2]),
                negative_logits=f,
                positive_logits=f,
                target=target,  # type: ignore[arg-type]
            )
        f.assign_sub(tape.gradient(loss, f))
    return float(f.numpy()[0]), float(loss)


def test_the_printed_target_diverges_and_the_default_converges() -> None:
    # The derivative of softplus(f) + p f is sigma(f) + p > p: with rate 1, each step goes down by more than p.
    for steps in (100, 200):
        logit, loss = descend("literal", steps)
        assert logit < -0.2 * steps
        assert loss < -0.2 * 0.2 * (steps - 1) + np.log(2)
    # With the magnitude it ends at logit(0.2) = -ln 4.
    logit, loss = descend("magnitude", 200)
    np.testing.assert_allclose(logit, -np.log(4), rtol=1e-4)
    assert loss > 0


def test_the_whole_is_eq_8_and_its_functions_are_small_towers() -> None:
    representation = tf.random.stateless_normal([6, 5], seed=(1, 2))
    logits = Towers((4, 3, 1), activation="relu")(tf.stack([representation] * 4, axis=1))[:, :, 0]
    labels = tf.constant([0.0, 1.0, 0.0, 1.0, NAN, 0.0])
    teacher = tf.constant([0.1, 0.4, 0.2, 0.9, 0.5, 0.3])
    whole = residual_learning_loss(
        labels=labels,
        teacher=teacher,
        logits=logits[:, 0],
        pseudo_logits=logits[:, 1],
        negative_logits=logits[:, 2],
        positive_logits=logits[:, 3],
        alpha=0.7,
    )
    parts = (
        binary_cross_entropy(labels=labels, logits=logits[:, 0])
        + distillation_loss(teacher=teacher, logits=logits[:, 1])
        + 0.7
        * residual_loss(labels=labels, teacher=teacher, negative_logits=logits[:, 2], positive_logits=logits[:, 3])
    )
    np.testing.assert_allclose(whole.numpy(), parts.numpy(), rtol=1e-6)


def test_ema_by_hand() -> None:
    average, variable = tf.Variable([1.0]), tf.Variable([3.0])
    ema_update(averages=[average], variables=[variable], decay=0.75)
    assert average.numpy() == [1.5]
    with pytest.raises(ValueError, match="argument 2 is shorter"):
        ema_update(averages=[average], variables=[], decay=0.5)


@pytest.mark.parametrize("fits", [1, 2])
def test_ema_teacher_follows_fit_also_when_resumed(fits: int) -> None:
    student, teacher = (keras.Sequential([keras.layers.Dense(1, use_bias=False)]) for _ in range(2))
    for model in (student, teacher):
        model.build((None, 1))
    student.set_weights([np.array([[2.0]], np.float32)])
    student.compile(keras.optimizers.SGD(1.0), loss=lambda y, f: tf.reduce_mean(f))
    follow = EmaTeacher(teacher.weights, student.weights, decay=0.9, every=2)
    for _ in range(fits):
        student.fit(np.ones([4 // fits, 1]), np.ones([4 // fits, 1]), batch_size=1, callbacks=[follow], verbose=0)
    # The gradient is 1: the student's weight is 2, then 1, 0, -1, -2. Updates after steps 2 and 4 with decays
    # min(0.9, 2/11) and min(0.9, 3/12): 2 -> 2 * 2/11 + 0 = 4/11 -> 4/11 / 4 + 3/4 * -2.
    np.testing.assert_allclose(teacher.get_weights()[0], [[1 / 11 - 1.5]], rtol=1e-5)


def test_ema_teacher_names_what_does_not_fit() -> None:
    with pytest.raises(ValueError, match="equal shapes"):
        EmaTeacher([tf.Variable([1.0])], [tf.Variable([1.0, 2.0])])
    with pytest.raises(ValueError, match="decay in"):
        EmaTeacher([], [], decay=1.0)
