"""What a wiring leaves open about a model."""

from __future__ import annotations

import dataclasses
from typing import Literal

from fullrank.layers.uncertainty.covariance_kernels import KernelName
from fullrank.models.encoding.dense_inputs import Similarity, VectorEncoding
from fullrank.models.encoding.numbers import NumericEncoding
from fullrank.models.encoding.sequence_encoders import EncoderName, TimPart
from fullrank.models.group_options import GroupOptions
from fullrank.models.interactions import InteractionOptions
from fullrank.models.learning.sample_weights import Repetition

ValueLoss = Literal["ziln", "squared"]


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
      groups: Variables that a set's tables are stored in; `None` for one a table.
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
