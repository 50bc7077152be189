"""Which model a run builds."""

from __future__ import annotations

import dataclasses
from typing import Literal

from fullrank.trainers.config.setting import check_settings, setting


@dataclasses.dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """Which model is built."""

    model: Literal["single", "me", "shared_bottom", "omoe", "mmoe", "ple", "me_mmoe", "ame", "stem", "stem_al"] = (
        setting("me", "Wiring of the model.")
    )
    tasks: tuple[str, ...] = setting((), "Labels to predict; the schema's first label if none is given.")
    auxiliary_tasks: tuple[str, ...] = setting(
        (),
        "Labels that help --model=stem_al to predict its one task; an export leaves them out. With --scenario its own "
        "label in the other scenarios helps instead.",
    )
    task_weights: tuple[str, ...] = setting(
        (), "Weights of the tasks' losses as task:weight, 1 where not given; or uncertainty, learned with the model."
    )
    chain: tuple[str, ...] = setting(
        (),
        "Tasks of which each can only happen after the one before it, in order, such as click,conversion,spend: each "
        "is predicted as a product of conditional probabilities and trained on all examples, and its loss then also "
        "trains the towers before it. A task with a real value can be the last one.",
    )
    value_loss: Literal["ziln", "squared"] = setting(
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
    towers: int | None = setting(
        None,
        "Towers that the tasks share (in each scenario), tasks with similar numbers of positives together; none: one "
        "per task.",
        minimum=1,
    )
    scenario: str | None = setting(
        None,
        "Feature of one id that tells the scenario of an example: each of --scenarios then is what a task is to the "
        "model, with a gate and a tower of its own for every task. With --model=stem_al the task is that of the first "
        "of --scenarios, and its label in each other one is an auxiliary task, task@scenario. none: one scenario.",
    )
    scenarios: tuple[str, ...] = setting(
        (),
        "Ids of --scenario; an example of any other gets the mean of their logits, and where these have a distribution "
        "a variance that includes how far they disagree. With --model=stem_al the first one is predicted and exported, "
        "whatever the scenario of a request, the others help, and examples of any further "
        "scenario are not learned from.",
    )
    without_features: tuple[str, ...] = setting(
        (), "Features of the records that the model does not read; a sequence loses the ids of their tables."
    )
    widths: tuple[int, ...] = setting(
        (),
        "Width of each embedding set; if not given 16, 16,16 for me, me_mmoe and stem_al, 16,32,64 for ame. "
        "stem has one for shared embeddings and one per task, or a single number for all.",
        minimum=1,
    )
    experts: tuple[str, ...] = setting(
        (),
        "Experts as interaction:set, sets counted from 0; the interaction alone where there is one set. For ple and "
        "stem the number is the owner: 0 what tasks share, k the k-th task; for stem_al 0 is the task and k its k-th "
        "auxiliary one. If not given, crossnet,flat for one set and for each owner (ple: one flat per task), "
        "gwpfm:0,flat:0,ipnn:1 for me and me_mmoe, and fm or ipnn with flat on each set for ame.",
    )
    levels: int = setting(1, "Levels of experts of --model=ple and stem.", minimum=1)
    expert_width: int = setting(64, "Width of every expert's output.", minimum=1)
    gate: Literal["softmax", "mean"] = setting("softmax", "How a task mixes the outputs of the experts.")
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
    numeric: Literal["buckets", "scaled", "mns", "autodis", "periodic"] = setting(
        "buckets",
        "Numbers: an embedding of the quantile bucket, one vector times the standardised number, the digits of several "
        "numeral systems, a mixture of soft buckets, or sines and cosines of trained frequencies.",
    )
    buckets: int = setting(32, "Quantile buckets of a number, or soft ones with --numeric=autodis.", minimum=2)
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
    vectors: Literal["projection", "similarity", "raw"] = setting(
        "similarity",
        "Pretrained vectors: a field each by a linear map; the similarity of each pair that the schema declares, in "
        "several numeral systems beside the interaction, other vectors a field each; or as they are beside the "
        "interaction.",
    )
    similarity: Literal["cosine", "dot"] = setting("cosine", "Similarity of a pair of vectors.")
    sequence: Literal["tim", "din", "self_attention", "mean"] = setting(
        "tim",
        "Behaviour sequences: temporal interest module, deep interest network, a transformer block, or plain mean.",
    )
    sequence_without: tuple[Literal["position", "interval", "attention", "representation"], ...] = setting(
        (), "Parts of --sequence=tim to leave out; position,interval leaves no temporal encoding."
    )
    initial_scale: float = setting(0.05, "Embedding rows start uniform between plus and minus this.", above=0)
    tower: tuple[int, ...] = setting((64,), "Hidden layers of each task's tower; empty for none.", minimum=1)
    head: Literal["logit", "gp", "rff_gp", "laplace", "dropout"] = setting(
        "logit",
        "What ends a tower: a logit, or what also says how sure it is, so that the export has the signatures posterior "
        "and thompson: a Gaussian process, one in random features, a Bayesian last layer, or --dropout left on.",
    )
    inducing_points: int = setting(128, "Inducing points of --head=gp, or features of --head=rff_gp.", minimum=1)
    kernel: Literal["rbf", "matern_1_2", "matern_3_2", "matern_5_2", "linear_rbf"] = setting(
        "rbf", "Covariance of --head=gp."
    )
    group_places: tuple[Literal["user", "user_ad", "representation"], ...] = setting(
        (),
        "Where the model learns group structure: from the user's fields, all fields, what the towers read, or several.",
    )
    group_levels: int = setting(
        3, "Codebooks of --group_places, each for what the ones before it left over.", minimum=1
    )
    group_codes: int = setting(64, "Codes in each of them.", minimum=2)
    group_width: int = setting(
        32, "Width of the codes at the representation; at fields they are as wide as their embedding set.", minimum=1
    )
    group_hidden: tuple[int, ...] = setting(
        (64,), "Hidden layers of the encoder of groups; the decoder has them in reverse.", minimum=1
    )
    group_mu: float = setting(1.0, "Weight of the codes' own term in the commitment loss.", above=0)
    group_combine: Literal["sum", "concat"] = setting("sum", "What becomes of the codes of the levels.")
    group_straight_through: bool = setting(
        True,
        "Pass the gradient of the tasks through the groups to their encoder; otherwise it trains the codes.",
    )
    group_k_means_steps: int = setting(
        10, "Iterations of k-means that start the codebooks on the first batch; 0 takes random rows of it.", minimum=0
    )
    group_usage_decay: float = setting(
        0.95, "Decay, for one step, of the running share of examples that choose a code.", minimum=0, below=1
    )
    group_restart_share: float = setting(
        0.05,
        "Move a code onto a random residual once its running share is below this part of the even share; 0: never.",
        minimum=0,
        below=1,
    )
    group_weight: float = setting(0.1, "Weight of reconstruction and commitment loss.", minimum=0)
    group_detach: bool = setting(False, "Keep groups and their loss from training what lies below them.")
    dropout: float = setting(0.0, "Share of hidden units dropped in training.", minimum=0, below=1)
    groups: int | None = setting(
        2,
        "Variables into which the tables of an embedding set are merged for training; none: one per table.",
        minimum=1,
    )
    mixed_precision: bool = setting(False, "Compute in bfloat16, with weights in float32.")

    def __post_init__(self) -> None:
        """Validates the settings."""
        check_settings(self)
        if len(set(self.tasks)) != len(self.tasks):
            raise ValueError(f"--tasks names a task twice. Received: {','.join(self.tasks)}.")
        if self.sequence_without and self.sequence != "tim":
            raise ValueError(
                f"--sequence_without={','.join(self.sequence_without)} leaves out parts of --sequence=tim, but "
                f"--sequence={self.sequence} has none of them: leave it out, or take --sequence=tim."
            )
        defaults = {field.name: field.default for field in dataclasses.fields(self)}
        for name in defaults:
            if name.startswith("group_") and not self.group_places and getattr(self, name) != defaults[name]:
                raise ValueError(f"--{name} takes effect only with --group_places: leave it out, or give that, too.")
