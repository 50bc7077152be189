"""What a wiring leaves open about a model: interactions, encoders, heads, regularisation, storage of tables."""

from __future__ import annotations

import dataclasses
from typing import Literal

from fullrank.models.options.groups import GroupOptions
from fullrank.models.options.objective import Repetition
from fullrank.models.options.setting import same_as, setting

ValueLoss = Literal["ziln", "squared"]
NumericEncoding = Literal["buckets", "piecewise", "scaled", "mns", "autodis", "periodic"]
VectorEncoding = Literal["projection", "similarity", "raw"]
Similarity = Literal["cosine", "dot"]
EncoderName = Literal["tim", "din", "self_attention", "mean"]
TimPart = Literal["position", "interval", "attention", "representation"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class InteractionOptions:
    """What the interactions of a model have in common."""

    hidden: tuple[int, ...] = setting(
        (128, 64), "Hidden layers of a flat expert, and of each stream of a finalmlp expert.", minimum=1
    )
    cross_depth: int = setting(3, "Layers of a crossnet expert.", minimum=1)
    cross_rank: int | None = setting(None, "Rank of a crossnet expert's matrices; full if not given.", minimum=1)
    projection_rank: int | None = setting(
        None, "Rank of the projections of an fmfm expert; full if not given.", minimum=1
    )
    maps: tuple[int, ...] = setting((32, 32), "Feature maps of each layer of a cin expert.", minimum=1)
    attention_depth: int = setting(2, "Layers of an autoint expert.", minimum=1)
    attention_width: int = setting(16, "Width of each head of an autoint expert.", minimum=1)
    heads: int = setting(2, "Heads of an autoint expert, and of the product that ends a finalmlp expert.", minimum=1)
    stack: tuple[str, ...] = setting(("crossnet", "flat"), "Interactions side by side in each layer of a dhen expert.")
    stack_depth: int = setting(2, "Layers of a dhen expert.", minimum=1)
    dropout: float = setting(0.1, "Share of hidden units dropped in training.", minimum=0, below=1)


@dataclasses.dataclass(frozen=True, kw_only=True)
class ModelOptions:
    """What a wiring leaves open and a flag of the same name can set.

    Encoders: `numeric` has `mns` ([Tencent] §3.2) among its choices. `vectors="similarity"` compares the pairs that the
    schema declares ([Tencent] §3.3) and projects the other vectors, `projection` makes a field of each, `raw` joins
    them after the interaction. A head other than `logit` also says how sure it is ([Tencent] §6.4): `gp`, a Gaussian
    process per task, its cheaper relatives `rff_gp` (in random features) and `laplace` (a Bayesian last layer), or
    `dropout`, left on in serving. Dropout meets expert outputs and tower units.
    """

    chain: tuple[str, ...] = setting(
        (),
        "Tasks of which each can only happen after the one before it, in order, such as click,conversion,spend: each "
        "is predicted as a product of conditional probabilities and trained on all examples, and its loss then also "
        "trains the towers before it. A task with a real value can be the last one.",
    )
    value_loss: ValueLoss = setting(
        "ziln",
        "Loss of tasks with a real value: the likelihood of a zero-inflated log-normal, for values of at least 0 that "
        "are often 0 or spread over magnitudes, such as spend; or the squared error, for any others.",
    )
    quantiles: tuple[float, ...] = setting(
        (0.5, 0.9),
        "Quantiles predicted and exported beside the mean of a value with --value_loss=ziln; 0 where the value is.",
        above=0,
        below=1,
    )
    scenario: str | None = setting(
        None,
        "Feature of one id that tells the scenario of an example: each of --scenarios then is what a task is to the "
        "model, with a gate and a tower of its own for every task. With --model=stem_al the task is that of the first "
        "of --scenarios, and its label in each other one is an auxiliary task, task@scenario. none: one scenario.",
    )
    numeric: NumericEncoding = setting(
        "piecewise",
        "Numbers: an embedding of the bucket, one between those of the two knots around the number, one vector times "
        "the standardised number, the digits of several numeral systems, a mixture of soft buckets, or sines and "
        "cosines of trained frequencies.",
    )
    buckets: int = setting(
        64,
        "Buckets of a number, equally frequent but for those of a frequent value; the gaps between knots with "
        "--numeric=piecewise, soft buckets with --numeric=autodis.",
        minimum=2,
    )
    bases: tuple[int, ...] = setting(
        (2, 3), "Numeral systems of --numeric=mns and of --vectors=similarity, where the schema names none.", minimum=2
    )
    bits: int = setting(
        8,
        "Numbers map to integers below 2 to the power of this, with --numeric=mns and --vectors=similarity, where the "
        "schema does not say.",
        minimum=1,
    )
    frequencies: int = setting(16, "Frequencies of a number with --numeric=periodic.", minimum=1)
    frequency_scale: float = setting(
        0.1, "How far the first frequencies spread, in periods for each standard deviation of the number.", above=0
    )
    vectors: VectorEncoding = setting(
        "similarity",
        "Pretrained vectors: a field each by a linear map; the similarity of each pair that the schema declares, in "
        "several numeral systems beside the interaction, other vectors a field each; or as they are beside the "
        "interaction.",
    )
    similarity: Similarity = setting("cosine", "Similarity of a pair of vectors.")
    sequence: EncoderName = setting(
        "tim",
        "Behaviour sequences: temporal interest module, deep interest network, a transformer block, or plain mean.",
    )
    sequence_without: tuple[TimPart, ...] = setting(
        (), "Parts of --sequence=tim to leave out; position,interval leaves no temporal encoding."
    )
    sequence_scale: float = setting(
        0.3,
        "Size of an entry of a trained embedding row, by which --sequence=tim divides what it compares and multiplies, "
        "so that its attention is not uniform and its output as large as a field; 1 for the paper's equation as it is.",
        above=0,
    )
    initial_scale: float = setting(0.05, "Embedding rows start uniform between plus and minus this.", above=0)
    tower: tuple[int, ...] = setting((64,), "Hidden layers of each task's tower; empty for none.", minimum=1)
    head: Literal["logit", "gp", "rff_gp", "laplace", "dropout"] = setting(
        "logit",
        "What ends a tower: a logit, or what also says how sure it is, so that the export has the signatures posterior "
        "and thompson: a Gaussian process, one in random features, a Bayesian last layer, or --dropout left on.",
    )
    inducing_points: int = setting(128, "Inducing points of --head=gp, or features of --head=rff_gp.", minimum=1)
    # As `KernelName` of the layers, which load TensorFlow.
    kernel: Literal["rbf", "matern_1_2", "matern_3_2", "matern_5_2", "linear_rbf"] = setting(
        "rbf", "Covariance of --head=gp."
    )
    dropout: float = same_as(InteractionOptions, "dropout")
    table_variables: int | None = setting(
        2,
        "Variables into which the tables of an embedding set are merged for training; none: one per table.",
        minimum=1,
    )


TaskWeights = tuple[tuple[str, float], ...] | Literal["uncertainty"]
"""Pairs of task and weight of its loss, 1 where not given; or learned with the model."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class RankerOptions(ModelOptions):
    """What a wiring leaves open.

    Attributes:
      interactions: Options of the experts' interactions.
      group_structure: Groups that the model learns on its way ([Meta] §3.1), and where.
      task_weights: Weights of the tasks' losses.
      repetition: Weight of repeated exposures in the loss ([Tencent] §6.2); `None` for none.
    """

    interactions: InteractionOptions = dataclasses.field(default_factory=InteractionOptions)
    group_structure: GroupOptions = dataclasses.field(default_factory=GroupOptions)
    task_weights: TaskWeights = ()
    repetition: Repetition | None = None
    embedding_l2: float = setting(
        0.0,
        "Weight of an L2 penalty on the embedding rows looked up in a step: the squared norm of the fields of an "
        "example, summed over fields and embedding sets and averaged over the batch, is added to the loss this many "
        "times. It does not depend on --batch_size; a row is penalised as often as it is looked up.",
        minimum=0,
    )
    seed: int = setting(
        0, "Seed of what is drawn: codebooks of learned groups, and pairs of a ranking loss.", minimum=0
    )
