"""Objectives as pure functions: ranking, exposure weights, late conversions, distillation, residuals.

May import: data, layers, models/options.
"""

from __future__ import annotations

from fullrank.models.objectives.ema import EmaTeacher, ema_update
from fullrank.models.objectives.evidence import negative_elbo
from fullrank.models.objectives.exposure import exposure_weights, repetition_weights
from fullrank.models.objectives.imbalance import (
    LogitGradients,
    class_balanced_cross_entropy,
    focal_loss,
    logit_gradients,
)
from fullrank.models.objectives.late_conversions import (
    dfm_loss,
    es_dfm_loss,
    es_dfm_targets,
    es_dfm_weights,
    fnc_logits,
    fnc_loss,
    fnw_loss,
    fnw_weights,
    silent_log_probability,
    weighted_cross_entropy,
)
from fullrank.models.objectives.listwise import joint_ranking_and_calibration, listwise_softmax_loss
from fullrank.models.objectives.ranking import classification_and_ranking, pairwise_loss, value_pairwise_loss
from fullrank.models.objectives.residual import (
    distillation_loss,
    main_and_distillation,
    residual_learning_loss,
    residual_loss,
    residual_targets,
)
from fullrank.models.objectives.zero_inflated_lognormal import (
    lognormal_scale,
    ziln_log_mean,
    ziln_loss,
    ziln_mean,
    ziln_quantile,
)

__all__ = [
    "EmaTeacher",
    "LogitGradients",
    "class_balanced_cross_entropy",
    "classification_and_ranking",
    "dfm_loss",
    "distillation_loss",
    "ema_update",
    "es_dfm_loss",
    "es_dfm_targets",
    "es_dfm_weights",
    "exposure_weights",
    "fnc_logits",
    "fnc_loss",
    "fnw_loss",
    "fnw_weights",
    "focal_loss",
    "joint_ranking_and_calibration",
    "listwise_softmax_loss",
    "logit_gradients",
    "lognormal_scale",
    "main_and_distillation",
    "negative_elbo",
    "pairwise_loss",
    "repetition_weights",
    "residual_learning_loss",
    "residual_loss",
    "residual_targets",
    "silent_log_probability",
    "value_pairwise_loss",
    "weighted_cross_entropy",
    "ziln_log_mean",
    "ziln_loss",
    "ziln_mean",
    "ziln_quantile",
]
