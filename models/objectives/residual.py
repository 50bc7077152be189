"""Learning from a teacher ([Meta] §3.2): its prediction, or its errors on positives and on negatives separately."""

from __future__ import annotations

import tensorflow as tf

from fullrank.models.objectives.losses import binary_cross_entropy
from fullrank.models.options import ResidualTarget


def distillation_loss(*, teacher: tf.Tensor, logits: tf.Tensor, weights: tf.Tensor | None = None) -> tf.Tensor:
    """[Meta] Eq. 5: `CE(f_pseudo(x), p_y)`, the weighted mean over examples that the teacher has a prediction for.

    The teacher is a constant: no gradient reaches it. f_pseudo is a separate head, used only in training; the
    prediction stays sigmoid(f_lr). The smallest value is the teacher's own entropy, not 0.

    Args:
      teacher: `[B]`, p_y in [0, 1]; NaN where there is none.
      logits: `[B]`, f_pseudo(x).
      weights: `[B]`, non-negative; ones if `None`.

    Returns:
      A scalar; 0, with gradient 0, if there is no prediction.
    """
    teacher = tf.stop_gradient(tf.cast(teacher, tf.float32))
    return binary_cross_entropy(labels=teacher, logits=logits, weights=weights)


def main_and_distillation(
    *,
    labels: tf.Tensor,
    teacher: tf.Tensor,
    logits: tf.Tensor,
    pseudo_logits: tf.Tensor,
    weights: tf.Tensor | None = None,
    distillation_weight: float = 1.0,
) -> tf.Tensor:
    """[Meta] Eq. 6: `L_lr(x, y) + L_pseudo(x, p_y)`; the paper's weight of the second term is 1.

    Args:
      labels: `[B]`, y; NaN where not observed.
      teacher: `[B]`, p_y; NaN where there is none.
      logits: `[B]`, f_lr(x).
      pseudo_logits: `[B]`, f_pseudo(x).
      weights: `[B]`, non-negative; ones if `None`.
      distillation_weight: Distillation weight of the second term.
    """
    main = binary_cross_entropy(labels=labels, logits=logits, weights=weights)
    return main + distillation_weight * distillation_loss(teacher=teacher, logits=pseudo_logits, weights=weights)


def residual_targets(*, labels: tf.Tensor, teacher: tf.Tensor, target: ResidualTarget = "magnitude") -> tf.Tensor:
    """The targets of f_0 and f_1, `[B]`: `|y - p_y|`, or as printed `y - p_y`, which is -p_y on negatives.

    NaN where the label or the teacher is. No gradient passes.
    """
    residual = tf.stop_gradient(tf.cast(labels, tf.float32) - tf.cast(teacher, tf.float32))
    return tf.abs(residual) if target == "magnitude" else residual


def residual_loss(
    *,
    labels: tf.Tensor,
    teacher: tf.Tensor,
    negative_logits: tf.Tensor,
    positive_logits: tf.Tensor,
    weights: tf.Tensor | None = None,
    target: ResidualTarget = "magnitude",
) -> tf.Tensor:
    """[Meta] Eq. 7: `(1 - y) CE(f_0(x), 0 - p_y) + y CE(f_1(x), 1 - p_y)`, the weighted mean over examples.

    Each example trains one of the two functions; the other one's gradient is exactly zero there. They are small
    networks on the shared representation (`layers.Towers`), used only in training; the prediction stays sigmoid(f_lr).

    As printed, a negative has the target -p_y, and `CE(f, -p) = softplus(f) + p f` has no minimum: its derivative
    `sigma(f) + p` is positive everywhere, so f runs to minus infinity and the loss with it. The default takes the
    residual's magnitude, |y - p_y|: p_y on negatives, 1 - p_y on positives. `target="literal"` is the printed form.

    Args:
      labels: `[B]`, y: 0 or 1; NaN where not observed.
      teacher: `[B]`, p_y in [0, 1]; NaN where there is none.
      negative_logits: `[B]`, f_0(x).
      positive_logits: `[B]`, f_1(x).
      weights: `[B]`, non-negative; ones if `None`.
      target: `magnitude` or `literal`.

    Returns:
      A scalar; 0, with gradient 0, if no example has both label and teacher.

    Raises:
      ValueError: If `target` is neither.
    """
    if target not in ("magnitude", "literal"):
        raise ValueError(f"target must be 'magnitude' or 'literal'. Received: {target!r}.")
    positive = tf.cast(labels, tf.float32) > 0.5
    logits = tf.where(positive, tf.cast(positive_logits, tf.float32), tf.cast(negative_logits, tf.float32))
    targets = residual_targets(labels=labels, teacher=teacher, target=target)
    return binary_cross_entropy(labels=targets, logits=logits, weights=weights)


def residual_learning_loss(
    *,
    labels: tf.Tensor,
    teacher: tf.Tensor,
    logits: tf.Tensor,
    pseudo_logits: tf.Tensor,
    negative_logits: tf.Tensor,
    positive_logits: tf.Tensor,
    alpha: float,
    weights: tf.Tensor | None = None,
    target: ResidualTarget = "magnitude",
) -> tf.Tensor:
    """[Meta] Eq. 8: `L_lr(x, y) + L_pseudo(x, p_y) + alpha L_res(x, y, p_y)`.

    Args:
      labels: `[B]`, y; NaN where not observed.
      teacher: `[B]`, p_y; NaN where there is none.
      logits: `[B]`, f_lr(x), the only one that predicts.
      pseudo_logits: `[B]`, f_pseudo(x).
      negative_logits: `[B]`, f_0(x).
      positive_logits: `[B]`, f_1(x).
      alpha: Weight of the residual loss, > 0 in the paper.
      weights: `[B]`, non-negative; ones if `None`.
      target: As in `residual_loss`.
    """
    main = main_and_distillation(
        labels=labels, teacher=teacher, logits=logits, pseudo_logits=pseudo_logits, weights=weights
    )
    residual = residual_loss(
        labels=labels,
        teacher=teacher,
        negative_logits=negative_logits,
        positive_logits=positive_logits,
        weights=weights,
        target=target,
    )
    return main + alpha * residual
