"""Settings of a model that its wiring leaves open: groups, interactions, encoders, heads, regularisation, tables."""

from __future__ import annotations

import dataclasses
from typing import Literal

from fullrank.models.options.objective import Repetition
from fullrank.models.options.setting import same_as, setting

GroupPlace = Literal["user", "user_ad", "representation"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class GroupOptions:
    """Group structure learning at any of its places, or none.

    The places are those of the paper's Table 1 ([Meta] §3.1). There are Q `levels` of C `codes` each. The paper gives
    no `weight` of the reconstruction and commitment loss in the objective.
    """

    places: tuple[GroupPlace, ...] = setting(
        (),
        "Where the model learns group structure: on the user's fields, all fields, the towers' input, or several.",
    )
    levels: int = setting(3, "Codebooks of --group_places, each for the residual of those before it.", minimum=1)
    codes: int = setting(64, "Codes per level.", minimum=2)
    width: int = setting(
        32, "Width of the codes at the representation; at fields it is the width of their embedding set.", minimum=1
    )
    hidden: tuple[int, ...] = setting(
        (64,), "Hidden layers of the group encoder; the decoder has them in reverse order.", minimum=1
    )
    mu: float = setting(1.0, "Weight of the codes' own term in the commitment loss.", above=0)
    combine: Literal["sum", "concat"] = setting("sum", "How the codes of the levels are combined.")
    straight_through: bool = setting(
        True,
        "Pass the tasks' gradient through the codes to the encoder of the groups; otherwise it trains the codes.",
    )
    k_means_steps: int = setting(
        10, "K-means iterations that initialise the codebooks on the first batch; 0 takes random rows of it.", minimum=0
    )
    usage_decay: float = setting(
        0.95, "Decay per step of the running share of the examples that choose a code.", minimum=0, below=1
    )
    restart_share: float = setting(
        0.05,
        "Move a code to a random residual once its running share is below this fraction of the even share; 0: never.",
        minimum=0,
        below=1,
    )
    weight: float = setting(0.1, "Weight of the reconstruction and commitment loss.", minimum=0)
    detach: bool = setting(False, "Keep the groups and their loss from training the layers below them.")


ValueLoss = Literal["ziln", "squared"]
NumericEncoding = Literal["buckets", "piecewise", "scaled", "mns", "autodis", "periodic"]
VectorEncoding = Literal["projection", "similarity", "raw"]
Similarity = Literal["cosine", "dot"]
EncoderName = Literal["tim", "din", "self_attention", "mean"]
TimPart = Literal["position", "interval", "attention", "representation"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class InteractionOptions:
    """Settings that the interactions of a model share."""

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
    stack: tuple[str, ...] = setting(("crossnet", "flat"), "Interactions in each layer of a dhen expert.")
    stack_depth: int = setting(2, "Layers of a dhen expert.", minimum=1)
    dropout: float = setting(0.1, "Share of hidden units dropped in training.", minimum=0, below=1)


@dataclasses.dataclass(frozen=True, kw_only=True)
class ModelOptions:
    """Settings that a wiring leaves open and a flag of the same name can set.

    Encoders: the choices of `numeric` include `mns` ([Tencent] §3.2). `vectors="similarity"` compares the pairs that
    the schema declares ([Tencent] §3.3) and projects the other vectors, `projection` makes a field of each, `raw` adds
    them after the interaction. A head other than `logit` also estimates its uncertainty ([Tencent] §6.4): `gp`, a
    Gaussian process per task, its cheaper variants `rff_gp` (in random features) and `laplace` (a Bayesian last layer),
    or `dropout`, left on in serving. Dropout applies to expert outputs and tower units.
    """

    chain: tuple[str, ...] = setting(
        (),
        "Tasks in order, each of which can only happen after the one before it, such as click,conversion,spend: each "
        "is predicted as a product of conditional probabilities and trained on all examples, and its loss also "
        "trains the towers before it. The last task may have a real value.",
    )
    value_loss: ValueLoss = setting(
        "ziln",
        "Loss of tasks with a real value: the likelihood of a zero-inflated log-normal, for values of at least 0 that "
        "are often 0 or span orders of magnitude, such as spend; or the squared error, for all others.",
    )
    quantiles: tuple[float, ...] = setting(
        (0.5, 0.9),
        "Quantiles predicted and exported in addition to the mean of a value with --value_loss=ziln; 0 where the value "
        "is 0 with at least that probability.",
        above=0,
        below=1,
    )
    scenario: str | None = setting(
        None,
        "Feature with a single id that is the scenario of an example: every task then has its own gate and tower in "
        "each of --scenarios. With --model=stem_al the task is that of the first of --scenarios, and its label in each "
        "other one is an auxiliary task, task@scenario. none: one scenario.",
    )
    numeric: NumericEncoding = setting(
        "piecewise",
        "Encoding of numbers: an embedding of the bucket, an interpolation between the embeddings of the two knots "
        "around the number, one vector times the standardised number, the digits in several numeral systems, a mixture "
        "of soft buckets, or sines and cosines of trained frequencies.",
    )
    buckets: int = setting(
        64,
        "Buckets per number, equally frequent except for buckets of a single frequent value; with --numeric=piecewise "
        "the gaps between knots, with --numeric=autodis soft buckets.",
        minimum=2,
    )
    bases: tuple[int, ...] = setting(
        (2, 3), "Numeral systems of --numeric=mns and of --vectors=similarity, if the schema names none.", minimum=2
    )
    bits: int = setting(
        8,
        "Numbers map to integers below 2 to the power of this, with --numeric=mns and --vectors=similarity, if the "
        "schema does not say.",
        minimum=1,
    )
    frequencies: int = setting(16, "Frequencies per number with --numeric=periodic.", minimum=1)
    frequency_scale: float = setting(
        0.1, "Spread of the initial frequencies, in periods per standard deviation of the number.", above=0
    )
    vectors: VectorEncoding = setting(
        "similarity",
        "Encoding of pretrained vectors: a field each, by a linear map; the similarity of each pair that the schema "
        "declares, in several numeral systems and added after the interaction, with a field for each other vector; or "
        "the vectors themselves, added after the interaction.",
    )
    similarity: Similarity = setting("cosine", "Similarity of a pair of vectors.")
    sequence: EncoderName = setting(
        "tim",
        "Encoder of behaviour sequences: temporal interest module, deep interest network, transformer block, or mean.",
    )
    sequence_without: tuple[TimPart, ...] = setting(
        (), "Parts of --sequence=tim to leave out; position,interval leaves out all temporal encoding."
    )
    sequence_scale: float = setting(
        0.3,
        "Typical size of an entry of a trained embedding row. --sequence=tim divides the vectors that it compares and "
        "multiplies by it, which keeps its attention from being uniform and makes its output as large as a field; 1 "
        "for the paper's equation.",
        above=0,
    )
    initial_scale: float = setting(
        0.05, "Embedding rows are initialised uniformly between plus and minus this.", above=0
    )
    unknown_share: float = setting(
        0.1,
        "Share of the ids of vocabularies that training reads as unknown, which trains the row that ids outside the "
        "vocabulary have; 0 leaves that row untrained, and biases predictions of new ads and people.",
        minimum=0,
        below=1,
    )
    tower: tuple[int, ...] = setting((64,), "Hidden layers of each task's tower; empty for none.", minimum=1)
    head: Literal["logit", "gp", "rff_gp", "laplace", "dropout"] = setting(
        "logit",
        "Head of each tower: a logit, or one that also estimates its uncertainty and gives the export the signatures "
        "posterior and thompson: a Gaussian process, one in random features, a Bayesian last layer, or --dropout.",
    )
    inducing_points: int = setting(128, "Inducing points of --head=gp, or features of --head=rff_gp.", minimum=1)
    # The same as `KernelName` of the layers, which load TensorFlow.
    kernel: Literal["rbf", "matern_1_2", "matern_3_2", "matern_5_2", "linear_rbf"] = setting(
        "rbf", "Covariance kernel of --head=gp."
    )
    dropout: float = same_as(InteractionOptions, "dropout")
    table_variables: int | None = setting(
        2,
        "Variables into which the tables of an embedding set are merged for training; none: one per table.",
        minimum=1,
    )


TaskWeights = tuple[tuple[str, float], ...] | Literal["uncertainty"]
"""Pairs of a task and the weight of its loss, 1 if not given; or learned with the model."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class RankerOptions(ModelOptions):
    """Settings that a wiring leaves open.

    Attributes:
      interactions: Options of the experts' interactions.
      group_structure: Learned groups ([Meta] §3.1), and where the model learns them.
      task_weights: Weights of the tasks' losses.
      repetition: Weight of repeated exposures in the loss ([Tencent] §6.2); `None` for none.
      field_penalties: Pairs of a field and the weight of its L2 penalty, in place of `embedding_l2`.
      table_widths: Pairs of a table and the width of its rows in every set that is wider.
    """

    interactions: InteractionOptions = dataclasses.field(default_factory=InteractionOptions)
    group_structure: GroupOptions = dataclasses.field(default_factory=GroupOptions)
    task_weights: TaskWeights = ()
    repetition: Repetition | None = None
    embedding_l2: float = setting(
        0.0,
        "Weight of an L2 penalty on the embedding rows looked up in a step: the squared norm of the fields of an "
        "example, summed over fields and embedding sets and averaged over the batch, is added to the loss with this "
        "weight. It does not depend on --batch_size; a row is penalised as often as it is looked up.",
        minimum=0,
    )
    field_penalties: tuple[tuple[str, float], ...] = ()
    table_widths: tuple[tuple[str, int], ...] = ()
    seed: int = setting(
        0, "Seed of the random draws: codebooks of learned groups, and pairs of a ranking loss.", minimum=0
    )
