"""Keras layers, each usable alone in a functional model: the parts that the papers' models are wired from."""

from fullrank.layers.auto_dis import AutoDis
from fullrank.layers.bit_code import BitCode
from fullrank.layers.bucket_embedding import BucketEmbedding
from fullrank.layers.compressed_interaction import CompressedInteraction
from fullrank.layers.conversion_chain import ConversionChain
from fullrank.layers.cross_net import CrossNetV2
from fullrank.layers.dense import Dense
from fullrank.layers.embedding_set import EmbeddingSet
from fullrank.layers.expert import Expert
from fullrank.layers.factorization_machine import FactorizationMachine
from fullrank.layers.field_attention import FieldAttention
from fullrank.layers.field_aware_fm import FieldAwareFM
from fullrank.layers.field_pair_projection import FieldPairProjection
from fullrank.layers.field_weighted_fm import FieldWeightedFM
from fullrank.layers.flat import FlatDNN
from fullrank.layers.gate import Gate
from fullrank.layers.gauss_hermite import calibrated_probability
from fullrank.layers.gaussian_posterior import GaussianPosterior
from fullrank.layers.gaussian_process import GaussianLogits, GaussianProcessHead
from fullrank.layers.graph_sage import MeanAggregator
from fullrank.layers.group_structure import GroupStructure, GroupStructureLearning
from fullrank.layers.group_weighted_fm import GroupWeightedFM
from fullrank.layers.hash_id import HashID
from fullrank.layers.inner_product import InnerProduct
from fullrank.layers.interaction_stack import InteractionStack
from fullrank.layers.last_layer_laplace import LastLayerLaplace
from fullrank.layers.lookup_plan import BehaviourSequence, Field, LookupPlan, Lookups, Table
from fullrank.layers.multiple_numeral_system import MultipleNumeralSystem
from fullrank.layers.outer_product import OuterProduct
from fullrank.layers.pair_similarity import PairSimilarity
from fullrank.layers.periodic_features import PeriodicFeatures
from fullrank.layers.random_feature_gp import RandomFeatureGP
from fullrank.layers.residual_quantizer import Quantized, ResidualQuantizer
from fullrank.layers.scaled_number import ScaledNumber
from fullrank.layers.self_attention import SelfAttention
from fullrank.layers.sequence_mean import SequenceMean
from fullrank.layers.target_attention import TargetAttention
from fullrank.layers.task_heads import TaskHeads
from fullrank.layers.temporal_interest import TemporalInterest
from fullrank.layers.towers import Towers
from fullrank.layers.training_heads import TrainingHeads
from fullrank.layers.two_stream import TwoStream
from fullrank.layers.vector_projection import VectorProjection

__all__ = [
    "AutoDis",
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
