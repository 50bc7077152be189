"""Where and how a model learns group structure ([Meta] §3.1)."""

from __future__ import annotations

import dataclasses
from typing import Literal

GroupPlace = Literal["user", "user_ad", "representation"]


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
