"""Settings of group structure learning: where and how a model learns groups."""

from __future__ import annotations

import dataclasses
from typing import Literal

from fullrank.models.options.setting import setting

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
        "Pass the tasks' gradient through the groups to their encoder; otherwise it trains the codes.",
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
