"""Optimisers whose step does not depend on the number of table rows, and the optimiser of a whole model.

May import: layers.
"""

from fullrank.models.optimizers.build import build_optimizer
from fullrank.models.optimizers.grouped import GroupedOptimizer
from fullrank.models.optimizers.lazy_adagrad import LazyAdagrad
from fullrank.models.optimizers.lazy_adam import LazyAdam
from fullrank.models.optimizers.lazy_ftrl import LazyFtrl
from fullrank.models.optimizers.rowwise_adagrad import RowwiseAdagrad
from fullrank.models.optimizers.schedule import build_schedule
from fullrank.models.optimizers.spec import DENSE_OPTIMIZERS, SPARSE_OPTIMIZERS, OptimizerSpec

__all__ = [
    "DENSE_OPTIMIZERS",
    "SPARSE_OPTIMIZERS",
    "GroupedOptimizer",
    "LazyAdagrad",
    "LazyAdam",
    "LazyFtrl",
    "OptimizerSpec",
    "RowwiseAdagrad",
    "build_optimizer",
    "build_schedule",
]
