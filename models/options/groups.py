"""Where and how a model learns group structure."""

from __future__ import annotations

import dataclasses
from typing import Literal

from fullrank.models.options.setting import setting

GroupPlace = Literal["user", "user_ad", "representation"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class GroupOptions:
    """Group structure learning at any of its places, or at none.

    The places are those of the paper's Table 1 ([Meta] §3.1). There are Q `levels` of C `codes` each. The paper gives
    no `weight` of the reconstruction and commitment loss in the objective.
    """

    places: tuple[GroupPlace, ...] = setting(
        (),
        "Where the model learns group structure: from the user's fields, all fields, what the towers read, or several.",
    )
    levels: int = setting(3, "Codebooks of --group_places, each for what the ones before it left over.", minimum=1)
    codes: int = setting(64, "Codes in each of them.", minimum=2)
    width: int = setting(
        32, "Width of the codes at the representation; at fields they are as wide as their embedding set.", minimum=1
    )
    hidden: tuple[int, ...] = setting(
        (64,), "Hidden layers of the encoder of groups; the decoder has them in reverse.", minimum=1
    )
    mu: float = setting(1.0, "Weight of the codes' own term in the commitment loss.", above=0)
    combine: Literal["sum", "concat"] = setting("sum", "What becomes of the codes of the levels.")
    straight_through: bool = setting(
        True,
        "Pass the gradient of the tasks through the groups to their encoder; otherwise it trains the codes.",
    )
    k_means_steps: int = setting(
        10, "Iterations of k-means that start the codebooks on the first batch; 0 takes random rows of it.", minimum=0
    )
    usage_decay: float = setting(
        0.95, "Decay, for one step, of the running share of examples that choose a code.", minimum=0, below=1
    )
    restart_share: float = setting(
        0.05,
        "Move a code onto a random residual once its running share is below this part of the even share; 0: never.",
        minimum=0,
        below=1,
    )
    weight: float = setting(0.1, "Weight of reconstruction and commitment loss.", minimum=0)
    detach: bool = setting(False, "Keep groups and their loss from training what lies below them.")
