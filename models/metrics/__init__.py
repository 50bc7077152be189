"""Metrics of ranking models: streaming ones for training, and evaluators that also handle keys and segments.

May import: data, layers.
"""

from __future__ import annotations

from fullrank.models.metrics.evaluator import BinaryEvaluator
from fullrank.models.metrics.group_auc import group_auc
from fullrank.models.metrics.regression_evaluator import RegressionEvaluator
from fullrank.models.metrics.streaming_binary import StreamingBinary
from fullrank.models.metrics.streaming_regression import StreamingRegression, StreamingValues
from fullrank.models.metrics.streaming_tasks import StreamingTasks

__all__ = [
    "BinaryEvaluator",
    "RegressionEvaluator",
    "StreamingBinary",
    "StreamingRegression",
    "StreamingTasks",
    "StreamingValues",
    "group_auc",
]
