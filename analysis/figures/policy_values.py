"""Values of policies with their intervals, beside the own value of the policy that made the log."""

from __future__ import annotations

import os
from collections.abc import Mapping

from fullrank.analysis.figures.style import BLUE, GREY, ORANGE, panels
from fullrank.analysis.policies.off_policy import PolicyValue


def draw_values(
    values: Mapping[str, Mapping[str, PolicyValue]],
    *,
    own: Mapping[str, tuple[str, PolicyValue]],
    title: str,
    path: str | os.PathLike[str],
) -> None:
    """Draws a panel a campaign, with a line a policy.

    The axis ends at six times the largest own value, beyond which the widest intervals are cut off.

    Args:
        values: campaign -> policy -> its estimated value.
        own: campaign -> name and value of the policy that made a log, drawn as a line with a band.
        title: of the figure.
        path: the PNG to write.
    """
    most = max(len(policies) for policies in values.values())
    with panels(
        path=path, rows=len(values), columns=1, width=7.0, height=0.9 + (0.5 + 0.28 * most) * len(values)
    ) as all_:
        for axes, (campaign, policies) in zip(all_, values.items(), strict=True):
            name, reference = own[campaign]
            axes.axvspan(reference.low, reference.high, color=ORANGE, alpha=0.15, linewidth=0)
            axes.axvline(reference.value, color=ORANGE, linewidth=1.2, label=f"{name}, its own clicks")
            axes.axvline(0.0, color=GREY, linewidth=0.8)
            for place, value in enumerate(policies.values()):
                axes.plot([value.low, value.high], [place, place], color=BLUE, solid_capstyle="butt")
                axes.plot([value.value], [place], "o", color=BLUE, markersize=4)
            axes.set_yticks(range(len(policies)), [policy.replace("_", " ") for policy in policies])
            axes.set_ylim(len(policies) - 0.5, -0.5)
            axes.grid(visible=False, axis="y")
            axes.set_ylabel(campaign)
        all_[0].legend(loc="lower right", fontsize=8)
        all_[0].set_title(title)
        every = [value for policies in values.values() for value in policies.values()]
        low = min(0.0, *(value.low for value in every))
        high = min(max(value.high for value in every), 6 * max(value.value for _, value in own.values()))
        all_[-1].set_xlim(low - 0.05 * (high - low), high)
        all_[-1].set_xlabel("clicks an impression")
