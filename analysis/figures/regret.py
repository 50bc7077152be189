"""Figures of exploration: regret over time, uncertainty by number of shows, and values of policies."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from matplotlib.axes import Axes

from fullrank.analysis.figures.style import BLUE, GREY, ORANGE, figure, panels
from fullrank.analysis.policies.off_policy import PolicyValue

# Okabe and Ito's colours.
_COLOURS: Final = ("#777777", "#D55E00", "#E69F00", "#0072B2", "#009E73", "#CC79A7")


def draw_regret(regrets: Mapping[str, np.ndarray[Any, Any]], *, path: str | os.PathLike[str]) -> None:
    """Draws mean cumulative regret with its 95 % interval over seeds.

    Args:
        regrets: policy -> `[seeds, rounds]`, at least two seeds.
        path: the PNG to write.
    """
    with figure(path=path, width=7.0, height=4.5) as axes:
        for (policy, values), colour in zip(regrets.items(), _COLOURS, strict=False):
            _draw_mean(axes, values, label=policy.replace("_", " "), colour=colour)
        axes.set_xlabel("round")
        axes.set_ylabel("cumulative regret, in median bids")
        axes.set_title(f"Regret: mean over {len(next(iter(regrets.values())))} seeds, 95 % interval")
        axes.legend()


def draw_rates(
    rates: Mapping[str, np.ndarray[Any, Any]], *, constant: Mapping[str, float], path: str | os.PathLike[str]
) -> None:
    """Draws the mean reward up to each round of policies that learn, with its 95 % interval over orders of the rows.

    Args:
        rates: policy -> `[orders, rounds]`.
        constant: policy that does not learn -> its mean reward, drawn as a level.
        path: the PNG to write.
    """
    with figure(path=path, width=7.0, height=5.2) as axes:
        for (policy, values), colour in zip(rates.items(), _COLOURS, strict=False):
            _draw_mean(axes, values, label=policy.replace("_", " "), colour=colour)
        for (policy, rate), style in zip(constant.items(), ("--", "-.", ":", (0, (1, 4))), strict=False):
            axes.axhline(rate, color="#333333", linewidth=1.0, linestyle=style, label=policy)
        axes.set_xlabel("round")
        axes.set_ylabel("mean reward up to the round")
        axes.set_title(f"Replay: mean over {len(next(iter(rates.values())))} orders, 95 % interval over them")
        axes.legend(fontsize=8, ncols=3, loc="upper center", bbox_to_anchor=(0.5, -0.14))


def _draw_mean(axes: Axes, values: np.ndarray[Any, Any], *, label: str, colour: str) -> None:
    rounds = np.arange(1, values.shape[1] + 1)
    mean = values.mean(axis=0)
    error = 1.96 * values.std(axis=0, ddof=1) / np.sqrt(len(values))
    axes.plot(rounds, mean, color=colour, label=label)
    axes.fill_between(rounds, mean - error, mean + error, color=colour, alpha=0.2, linewidth=0)


def draw_deviations(
    cells: Mapping[str, tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]], *, path: str | os.PathLike[str]
) -> None:
    """Draws the posterior standard deviation of a logit against the number of shows of its ad, median and quartiles.

    Args:
        cells: policy -> times shown and deviation of each ad in each segment at the end.
        path: the PNG to write.
    """
    with figure(path=path, width=7.0, height=4.5) as axes:
        for (policy, (shown, deviation)), colour in zip(cells.items(), _COLOURS, strict=False):
            groups = np.floor(2 * np.log2(1 + shown)).astype(int)
            places, middles, lows, highs = [], [], [], []
            for group in np.unique(groups):
                own = deviation[groups == group]
                places.append(float(np.mean(shown[groups == group])) + 0.5)
                low, middle, high = np.quantile(own, (0.25, 0.5, 0.75))
                middles.append(middle)
                lows.append(low)
                highs.append(high)
            axes.plot(places, middles, color=colour, label=policy.replace("_", " "))
            axes.fill_between(places, lows, highs, color=colour, alpha=0.15, linewidth=0)
        axes.set_xscale("log")
        axes.set_xlabel("times shown at the end, plus a half")
        axes.set_ylabel("posterior standard deviation of the logit")
        axes.set_title("Uncertainty by number of shows")
        axes.legend()


def draw_values(
    values: Mapping[str, Mapping[str, PolicyValue]],
    *,
    own: Mapping[str, tuple[str, PolicyValue]],
    title: str,
    path: str | os.PathLike[str],
) -> None:
    """Draws one panel per campaign, with one line per policy.

    The axis ends at six times the largest own value, beyond which the widest intervals are cut off.

    Args:
        values: campaign -> policy -> its estimated value.
        own: campaign -> name and value of the policy that made a log, drawn as a line with a band.
        title: title of the figure.
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
        all_[-1].set_xlabel("clicks per impression")
