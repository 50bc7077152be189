"""What a wiring leaves open about a model: encoders, heads, regularisation, learned groups ([Meta] §3.1), objective."""

from __future__ import annotations

import dataclasses
from typing import Literal

from fullrank.layers.uncertainty.covariance_kernels import KernelName
from fullrank.models.encoding.dense_inputs import Similarity, VectorEncoding
from fullrank.models.encoding.numbers import NumericEncoding
from fullrank.models.encoding.sequence_encoders import EncoderName, TimPart
from fullrank.models.interactions import InteractionOptions
from fullrank.models.objectives.exposure import Recency
from fullrank.models.objectives.ranking import MAX_PAIRS
from fullrank.models.objectives.residual import ResidualTarget

GroupPlace = Literal["user", "user_ad", "representation"]


ValueLoss = Literal["ziln", "squared"]


ClassificationLoss = Literal["cross_entropy", "focal", "class_balanced"]
LossMean = Literal["observed", "batch"]
RankingLoss = Literal["none", "pairwise", "listwise", "jrc"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class GroupOptions:
    """Group structure learning at any of the places of the paper's Table 1.

    Attributes:
      places: `user`, the user's fields; `user_ad`, all fields; `representation`, what each tower reads. Any, or none.
      levels: Q codebooks.
      codes: C codes in each.
      width: Of the codes at the representation; at fields it is that of their embedding set.
      hidden: Hidden layers of the encoder, in reverse those of the decoder.
      mu: Weight of the codes' own term in the commitment loss.
      combine: Levels are summed or concatenated.
      straight_through: Whether the gradient of a task passes through its groups to the encoder; otherwise it trains
        their codes.
      k_means_steps: Iterations of k-means that start the codebooks on the first batch; 0 takes random rows of it.
      usage_decay: Decay, for one step, of the running share of examples that choose a code.
      restart_share: A code is moved onto a random residual once its running share is below this part of the even
        share 1 / C; 0 never moves one.
      weight: Of reconstruction and commitment loss in the objective; the paper gives none.
      seed: Of codebooks, their start and restarts; every quantiser of a model draws otherwise.
      detach: Whether groups and their loss leave what lies below them alone.
    """

    places: tuple[GroupPlace, ...] = ()
    levels: int = 3
    codes: int = 64
    width: int = 32
    hidden: tuple[int, ...] = (64,)
    mu: float = 1.0
    combine: Literal["sum", "concat"] = "sum"
    straight_through: bool = True
    k_means_steps: int = 10
    usage_decay: float = 0.95
    restart_share: float = 0.05
    weight: float = 0.1
    detach: bool = False
    seed: int = 0


@dataclasses.dataclass(frozen=True, kw_only=True)
class Repetition:
    """The repetitive exposure weight, as `repetition_weights` computes it.

    Attributes:
      count: Column of the decayed number of earlier exposures; missing or 0 for a first one.
      gap_days: Column of the days since the last one.
      alpha: Share of the count in w_rep.
      tau_days: Days after which recency has fallen to 1/e.
      recency: `decay`, or `gap` as printed in the paper.
    """

    count: str = "repeat_count"
    gap_days: str = "repeat_gap_days"
    alpha: float = 0.5
    tau_days: float = 1.0
    recency: Recency = "decay"


@dataclasses.dataclass(frozen=True, kw_only=True)
class RankerOptions:
    """What a wiring leaves open.

    Attributes:
      tower: Hidden layers of each task's tower.
      interactions: Options of the experts' interactions.
      numeric: How numbers are encoded: `buckets`, `scaled`, `mns` ([Tencent] §3.2), `autodis` or `periodic`.
      buckets: Quantile buckets of a number, or soft ones with `autodis`.
      bases: Numeral systems of `mns` and of similarities, where the schema names none.
      bits: Range of `mns` and of similarities, where the schema does not say: they map to 0..2^bits-1.
      frequencies: Frequencies of a number with `periodic`.
      frequency_scale: Deviation of the first frequencies, in periods for each standard deviation of the number.
      vectors: How pretrained vectors are encoded: `similarity` compares the pairs that the schema declares ([Tencent]
        §3.3) and projects the other vectors, `projection` makes a field of each, `raw` joins them after interaction.
      similarity: Of a pair: `cosine` or `dot`.
      sequence: How behaviour sequences are encoded: `tim` (`TemporalInterest`), `din`, `self_attention` or `mean`.
      sequence_without: Parts of `tim` left out: `position`, `interval`, `attention`, `representation`.
      task_weights: Pairs of task and weight of its loss, 1 where not given; or `uncertainty`, learned with the model.
      chain: Tasks of a conversion chain, each of which can only happen after the one before it: their heads then give
        the probability given the one before, and their predictions are the products.
      value_loss: Of tasks with a real value: `ziln`, a zero-inflated log-normal for values of at least 0, or `squared`.
      quantiles: Quantiles that are predicted beside the mean of a value task with `ziln`.
      scenario: Column that tells the scenario of an example, for a wiring with scenarios: a feature of one id.
      head: `logit`, or one that also says how sure it is ([Tencent] §6.4): `gp`, a Gaussian process a task, its cheaper
        relatives `rff_gp` (in random features) and `laplace` (a Bayesian last layer), or `dropout`, left on in serving.
      inducing_points: Of each process; of `rff_gp`, its features.
      kernel: Covariance of `gp`: `rbf`, `matern_1_2`, `matern_3_2`, `matern_5_2` or `linear_rbf`.
      group_structure: Groups that the model learns on its way ([Meta] §3.1), and where.
      dropout: Share of expert outputs and tower units dropped in training.
      embedding_l2: Weight of the squared norm of the fields that a batch looked up (mean over examples); rows that were
        not looked up are left alone, so the price does not grow with the table.
      initial_scale: Embedding rows start uniform in ± this.
      groups: Variables that a set's tables are stored in; `None` for one per table.
      repetition: Weight of repeated exposures in the loss ([Tencent] §6.2); `None` for none.
    """

    tower: tuple[int, ...] = (64,)
    interactions: InteractionOptions = dataclasses.field(default_factory=InteractionOptions)
    numeric: NumericEncoding = "buckets"
    buckets: int = 32
    bases: tuple[int, ...] = (2, 3)
    bits: int = 8
    frequencies: int = 16
    frequency_scale: float = 0.1
    vectors: VectorEncoding = "similarity"
    similarity: Similarity = "cosine"
    sequence: EncoderName = "tim"
    sequence_without: tuple[TimPart, ...] = ()
    task_weights: tuple[tuple[str, float], ...] | Literal["uncertainty"] = ()
    chain: tuple[str, ...] = ()
    value_loss: ValueLoss = "ziln"
    quantiles: tuple[float, ...] = (0.5, 0.9)
    scenario: str | None = None
    head: Literal["logit", "gp", "rff_gp", "laplace", "dropout"] = "logit"
    inducing_points: int = 128
    kernel: KernelName = "rbf"
    group_structure: GroupOptions = dataclasses.field(default_factory=GroupOptions)
    dropout: float = 0.0
    embedding_l2: float = 0.0
    initial_scale: float = 0.05
    groups: int | None = 2
    repetition: Repetition | None = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class ObjectiveOptions:
    """How tasks are learned, binary ones above all; none of it changes what a trained model computes.

    Attributes:
      loss_mean: What the losses of a task are averaged over: its `observed` labels, so that a task weighs the same in
        every batch that has any of them, or the `batch`, so that a label weighs the same in every task: the mean over
        observed labels times their share of the batch. Every loss of a task, by its own labels or the teacher's. With
        `batch` tasks of few labels hardly train beside full ones (`docs/studies/loss_mean.md`): give them weights.
      classification: Loss of a single example: `cross_entropy`, `focal` or `class_balanced`.
      focus: Exponent of `focal`.
      balance: Beta of `class_balanced`.
      ranking: Loss that joins it ([Tencent] §6.1): `pairwise` is the paper's, `listwise` a softmax over a list, `jrc`
        joint ranking and calibration, whose second logit is a head for training only. `pairwise` also orders the
        examples of value tasks; the others leave value tasks alone.
      ranking_weight: w of `(1 - w) classification + w ranking`; of `jrc`, one minus its calibration weight.
      ranking_key: Column whose equal values make a list or a pair; `None` for the whole batch.
      max_pairs: Pairs beyond which `pairwise` draws that many.
      distillation_weight: Of learning from a teacher ([Meta] §3.2); the paper's is 1.
      residual_weight: Alpha of residual learning ([Meta] §3.2); 0 leaves it out.
      residual_target: `magnitude` or the `literal` one, with which training diverges ([Meta] §3.2).
      training_hidden: Hidden layers of each head that only trains: f_pseudo, f_0, f_1 and the second logit of `jrc`.
      seed: Of the pairs drawn beyond `max_pairs`.
    """

    loss_mean: LossMean = "observed"
    classification: ClassificationLoss = "cross_entropy"
    focus: float = 2.0
    balance: float = 0.9999
    ranking: RankingLoss = "none"
    ranking_weight: float = 0.5
    ranking_key: str | None = None
    max_pairs: int = MAX_PAIRS
    distillation_weight: float = 1.0
    residual_weight: float = 0.0
    residual_target: ResidualTarget = "magnitude"
    training_hidden: tuple[int, ...] = (64,)
    seed: int = 0
