"""Pictures of encodings: digits of several numeral systems, and interest that depends on time."""

from __future__ import annotations

from typing import Any

import matplotlib.pyplot as plt
import numpy as np

from picture_style import BLUE, GREEN, GREY, ORANGE, box, canvas, note


def digits(number: int, base: int, places: int) -> list[int]:
    """The digits of a number, the highest first, with zeros in front."""
    return [number // base**place % base for place in reversed(range(places))]


def numeral_systems() -> Any:
    """127 and 128: no binary digit is the same, but most ternary ones are; digits that agree share a row."""
    figure, axes = canvas(7.2, 3.6)
    for top, base, places, color in ((27, 2, 8, BLUE), (11, 3, 6, GREEN)):
        first, second = digits(127, base, places), digits(128, base, places)
        note(axes, 4, top, f"base {base}", size=10)
        for row, (number, found) in enumerate(((127, first), (128, second))):
            y = top + 2.6 - 5.2 * row
            note(axes, 12, y, f"{number}", size=10)
            for place, digit in enumerate(found):
                same = first[place] == second[place]
                box(axes, 18 + 5 * place, y, str(digit), size=(4.2, 4.2), color=color if same else GREY, bold=same)
        shared = sum(a == b for a, b in zip(first, second, strict=True))
        note(axes, 60 if base == 2 else 50, top, f"{shared} of {places} digits\nshare a row", align="left", size=9)
    note(axes, 36, 1.8, "A number is the sum of the rows of its digits, in all systems.", size=9)
    return figure


def temporal_interest() -> Any:
    """Weights of ten behaviours by the layer's formula, with tables that forget over hours; and by a plain mean."""
    draw = np.random.default_rng(4)
    alike = np.array([0.1, 0.9, 0.2, 0.1, 0.8, 0.2, 0.1, 0.95, 0.15, 0.85])
    hours = np.array([700, 500, 300, 160, 90, 50, 26, 12, 4, 1.0])
    recency = 3.0 - 0.8 * np.log2(1 + hours / 4) + draw.normal(0, 0.05, 10)
    scores = {"meaning only": 4 * alike, "meaning and time": 4 * alike + recency}
    figure, axes = plt.subplots(figsize=(7.2, 3.2), layout="constrained", facecolor="white")
    places = np.arange(10)
    axes.bar(places - 0.27, np.full(10, 0.1), 0.26, color=GREY, label="mean")
    for shift, (name, values), color in zip((0, 0.27), scores.items(), (BLUE, ORANGE), strict=True):
        weights = np.exp(values) / np.exp(values).sum()
        axes.bar(places + shift, weights, 0.26, color=color, label=name)
    labels = [f"{'like the ad' if a > 0.5 else 'unlike'}\n{h:g} h" for a, h in zip(alike, hours, strict=True)]
    axes.set_xticks(places, labels, fontsize=7.5)
    axes.set(ylabel="weight of the behaviour", xlabel="past behaviours, the most recent on the right")
    axes.legend(frameon=False, fontsize=9)
    axes.spines[["top", "right"]].set_visible(False)
    return figure
