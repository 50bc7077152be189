"""Settings of a model that its wiring leaves open, each declared once: default, limits and meaning.

Flags and `config.json` are derived from these classes, so nothing here loads TensorFlow.

May import: data.
"""

from fullrank.models.options.model import (
    EncoderName,
    GroupOptions,
    GroupPlace,
    InteractionOptions,
    ModelOptions,
    NumericEncoding,
    RankerOptions,
    Similarity,
    TaskWeights,
    TimPart,
    ValueLoss,
    VectorEncoding,
)
from fullrank.models.options.objective import ObjectiveOptions, Recency, Repetition, ResidualTarget
from fullrank.models.options.retrieval import RetrievalOptions, TowerOptions

__all__ = [
    "EncoderName",
    "GroupOptions",
    "GroupPlace",
    "InteractionOptions",
    "ModelOptions",
    "NumericEncoding",
    "ObjectiveOptions",
    "RankerOptions",
    "Recency",
    "Repetition",
    "ResidualTarget",
    "RetrievalOptions",
    "Similarity",
    "TaskWeights",
    "TimPart",
    "TowerOptions",
    "ValueLoss",
    "VectorEncoding",
]
