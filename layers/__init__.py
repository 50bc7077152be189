"""Keras layers, each usable alone in a functional model: the parts that the papers' models are wired from."""

from fullrank.layers.content.bit_code import BitCode
from fullrank.layers.content.graph_sage import MeanAggregator
from fullrank.layers.content.hash_id import HashID
from fullrank.layers.content.pair_similarity import PairSimilarity, VectorProjection
from fullrank.layers.dense import Dense
from fullrank.layers.embedding.embedding_set import EmbeddingSet
from fullrank.layers.embedding.lookup_plan import BehaviourPart, BehaviourSequence, Field, LookupPlan, Lookups, Table
from fullrank.layers.groups.group_structure import GroupStructure, GroupStructureLearning
from fullrank.layers.groups.residual_quantizer import Quantized, ResidualQuantizer
from fullrank.layers.interactions.compressed_interaction import CompressedInteraction
from fullrank.layers.interactions.cross_net import CrossNetV2
from fullrank.layers.interactions.factorization_machines import FactorizationMachine, FieldAwareFM, FieldWeightedFM
from fullrank.layers.interactions.field_attention import FieldAttention
from fullrank.layers.interactions.field_pair_projection import FieldPairProjection
from fullrank.layers.interactions.flat import FlatDNN
from fullrank.layers.interactions.group_weighted_fm import GroupWeightedFM
from fullrank.layers.interactions.interaction_stack import InteractionStack
from fullrank.layers.interactions.products import InnerProduct, OuterProduct
from fullrank.layers.interactions.two_stream import TwoStream
from fullrank.layers.mixture.expert import Expert
from fullrank.layers.mixture.gate import Gate
from fullrank.layers.mixture.task_heads import ConversionChain, TaskHeads
from fullrank.layers.mixture.towers import Towers
from fullrank.layers.mixture.training_heads import TrainingHeads
from fullrank.layers.numbers.auto_dis import AutoDis
from fullrank.layers.numbers.bucket_embedding import BucketEmbedding
from fullrank.layers.numbers.multiple_numeral_system import MultipleNumeralSystem
from fullrank.layers.numbers.periodic_features import PeriodicFeatures
from fullrank.layers.numbers.piecewise_embedding import PiecewiseEmbedding
from fullrank.layers.numbers.scaled_number import ScaledNumber
from fullrank.layers.sequences.self_attention import SelfAttention
from fullrank.layers.sequences.target_attention import SequenceMean, TargetAttention
from fullrank.layers.sequences.temporal_interest import TemporalInterest
from fullrank.layers.uncertainty.gauss_hermite import calibrated_probability
from fullrank.layers.uncertainty.gaussian_posterior import GaussianPosterior
from fullrank.layers.uncertainty.gaussian_process import GaussianProcessHead
from fullrank.layers.uncertainty.last_layer_laplace import LastLayerLaplace
from fullrank.layers.uncertainty.random_feature_gp import RandomFeatureGP
from fullrank.layers.uncertainty.task_logits import GaussianLogits

__all__ = [
    "AutoDis",
    "BehaviourPart",
    "BehaviourSequence",
    "BitCode",
    "BucketEmbedding",
    "CompressedInteraction",
    "ConversionChain",
    "CrossNetV2",
    "Dense",
    "EmbeddingSet",
    "Expert",
    "FactorizationMachine",
    "Field",
    "FieldAttention",
    "FieldAwareFM",
    "FieldPairProjection",
    "FieldWeightedFM",
    "FlatDNN",
    "Gate",
    "GaussianLogits",
    "GaussianPosterior",
    "GaussianProcessHead",
    "GroupStructure",
    "GroupStructureLearning",
    "GroupWeightedFM",
    "HashID",
    "InnerProduct",
    "InteractionStack",
    "LastLayerLaplace",
    "LookupPlan",
    "Lookups",
    "MeanAggregator",
    "MultipleNumeralSystem",
    "OuterProduct",
    "PairSimilarity",
    "PeriodicFeatures",
    "PiecewiseEmbedding",
    "Quantized",
    "RandomFeatureGP",
    "ResidualQuantizer",
    "ScaledNumber",
    "SelfAttention",
    "SequenceMean",
    "Table",
    "TargetAttention",
    "TaskHeads",
    "TemporalInterest",
    "Towers",
    "TrainingHeads",
    "TwoStream",
    "VectorProjection",
    "calibrated_probability",
]
