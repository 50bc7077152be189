"""Learning from a teacher's prediction beside the label ([Meta] §3.2)."""

from __future__ import annotations

import tensorflow as tf

from fullrank.models.objectives.losses import binary_cross_entropy


def distillation_loss(*, teacher: tf.Tensor, logits: tf.Tensor, weights: tf.Tensor | None = None) -> tf.Tensor:
    """[Meta] Eq. 5: `CE(f_pseudo(x), p_y)`, the weighted mean over examples that the teacher has a prediction for.

    The teacher is a constant: no gradient reaches it. f_pseudo is a head of its own, trained only; the prediction
    stays sigmoid(f_lr). The least value is the teacher's own entropy, not 0.

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
      distillation_weight: Of the second term.
    """
    main = binary_cross_entropy(labels=labels, logits=logits, weights=weights)
    return main + distillation_weight * distillation_loss(teacher=teacher, logits=pseudo_logits, weights=weights)
