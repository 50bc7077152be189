"""The losses of all binary tasks of a batch: classification and ranking, joined as the options say ([Tencent] §6.1)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from fullrank.models.objectives.evidence import negative_elbo
from fullrank.models.objectives.imbalance import class_weights, focal_loss
from fullrank.models.objectives.listwise import joint_ranking_and_calibration, listwise_softmax_loss
from fullrank.models.objectives.losses import binary_cross_entropy, observed_weights
from fullrank.models.objectives.ranking import pairwise_loss
from fullrank.models.options import ObjectiveOptions


class BinaryLosses:
    """`(1 - w) L_classification + w L_ranking` of each task ([Tencent] §6.1); for JRC, its parts of the same name.

    Where logits have a distribution `f ~ N(mean, variance)`, the classification loss is the negative evidence,
    `-E log Ber(y; sigma(f)) + KL / N` (`objectives.evidence`), and the ranking loss compares the means:

        L = (1 - w) (-E log Ber(y; sigma(f)) + KL / N) + w L_ranking(mean)

    Means do not depend on the variances' own parameters, such as the deviations of a Gaussian process at its inducing
    points. For these the minimum is thus that of the evidence for any w: the ranking loss moves the means, and the
    posterior around them keeps the width that the labels imply.

    Args:
      options: The choice of losses.
      base_rates: Share of positives of each task, `[T]`; used with `class_balanced` only.
      labels: N of each task, its observed labels in the training split, `[T]`; used with `class_balanced` only.
    """

    def __init__(
        self, options: ObjectiveOptions, *, base_rates: np.ndarray[Any, Any], labels: np.ndarray[Any, Any]
    ) -> None:
        self._options = options
        self._of_class: np.ndarray[Any, Any] | None = None
        if options.classification == "class_balanced":
            pairs = [
                class_weights(positives=rate * number, negatives=(1.0 - rate) * number, beta=options.balance)
                for rate, number in zip(base_rates.tolist(), labels.tolist(), strict=True)
            ]
            self._of_class = np.array(pairs, np.float32).T

    def __call__(
        self,
        *,
        labels: tf.Tensor,
        logits: tf.Tensor,
        weights: tf.Tensor | None = None,
        variance: tf.Tensor | None = None,
        divergence: tf.Tensor | None = None,
        levels: tf.Tensor | None = None,
        keys: tf.Tensor | None = None,
        seed: tf.Tensor | None = None,
    ) -> tf.Tensor:
        """The loss of each task, `[T]`.

        Args:
          labels: `[B, T]`; 0 or 1; NaN where not observed.
          logits: `[B, T]`; with a variance, the means.
          weights: `[B]` or `[B, T]`, non-negative; ones if `None`.
          variance: `[B, T]`, of the logits; `None` where they are certain.
          divergence: `[T]`, `KL(q || p) / N` of uncertain logits.
          levels: `[B, T]`, the logit f_0 of the negative class; with `jrc` only, whose f_1 is f_0 + logit. `None`
            leaves its ranking part out, as in validation.
          keys: `[B]`; `None` for one list, the batch.
          seed: Two integers for the pairs drawn.
        """
        options, w = self._options, self._options.ranking_weight
        weights = observed_weights(labels, weights)
        classified = self._classification(labels, logits, weights, variance, divergence)
        if options.ranking == "jrc" and levels is not None:

            def jrc(y: tf.Tensor, z: tf.Tensor, v: tf.Tensor, f_0: tf.Tensor) -> tf.Tensor:
                pair = tf.stack([f_0, f_0 + z], axis=1)
                return joint_ranking_and_calibration(
                    labels=y, logits=pair, weights=v, keys=keys, calibration_weight=0.0
                )

            return (1.0 - w) * classified + w * of_each_task(jrc, labels, logits, weights, levels)
        if options.ranking in ("none", "jrc"):
            return classified

        def ranking(y: tf.Tensor, z: tf.Tensor, v: tf.Tensor) -> tf.Tensor:
            if options.ranking == "listwise":
                return listwise_softmax_loss(labels=y, logits=z, weights=v, keys=keys)
            return pairwise_loss(labels=y, logits=z, weights=v, keys=keys, max_pairs=options.max_pairs, seed=seed)

        return (1.0 - w) * classified + w * of_each_task(ranking, labels, logits, weights)

    def _classification(
        self,
        labels: tf.Tensor,
        logits: tf.Tensor,
        weights: tf.Tensor,
        variance: tf.Tensor | None,
        divergence: tf.Tensor | None,
    ) -> tf.Tensor:
        if self._options.classification == "focal":

            def focal(y: tf.Tensor, z: tf.Tensor, v: tf.Tensor) -> tf.Tensor:
                return focal_loss(labels=y, logits=z, weights=v, focus=self._options.focus)

            return of_each_task(focal, labels, logits, weights)
        if self._of_class is not None:
            weights *= tf.where(labels > 0.5, *self._of_class)
        if variance is not None:
            return negative_elbo(
                labels=labels, mean=logits, variance=variance, divergence=divergence, examples=1.0, weights=weights
            )
        return binary_cross_entropy(labels=labels, logits=logits, weights=weights)


def of_each_task(loss: Callable[..., tf.Tensor], *columns: tf.Tensor) -> tf.Tensor:
    """`loss` of the t-th column of each argument `[B, T]`, for each t: `[T]`; traced once for any number of tasks."""
    columns = tuple(tf.cast(column, tf.float32) for column in columns)
    if columns[0].shape[1] == 1:
        return loss(*(column[:, 0] for column in columns))[tf.newaxis]
    rows = tuple(tf.transpose(column) for column in columns)
    return tf.map_fn(lambda each: loss(*each), rows, fn_output_signature=tf.float32)
