"""The style that the documentation's pictures share: colours, boxes, arrows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import matplotlib.pyplot as plt
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

BLUE, ORANGE, GREEN, PURPLE, GREY = "#3b6fb5", "#d98032", "#3f9a6b", "#8560a8", "#6b7280"
PALE = {BLUE: "#dde8f6", ORANGE: "#fae6d3", GREEN: "#dcefe4", PURPLE: "#e9e0f1", GREY: "#eceef1"}


def canvas(width: float, height: float) -> tuple[Any, Any]:
    """A figure of `width` x `height` inches whose axes count tenths of an inch from the lower left, without a frame."""
    figure = plt.figure(figsize=(width, height), facecolor="white")
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(0, 10 * width), ylim=(0, 10 * height))
    axes.axis("off")
    return figure, axes


def box(axes: Any, x: float, y: float, text: str, *, size: tuple[float, float], color: str, bold: bool = False) -> None:
    """A rounded box with its centre at (x, y) and its text in it."""
    width, height = size
    axes.add_patch(
        FancyBboxPatch(
            (x - width / 2, y - height / 2),
            width,
            height,
            boxstyle="round,pad=0,rounding_size=0.8",
            facecolor=PALE[color],
            edgecolor=color,
            linewidth=1.2,
        )
    )
    weight = "bold" if bold else "normal"
    axes.text(x, y, text, ha="center", va="center", fontsize=9, color="#1f2937", weight=weight, linespacing=1.3)


def arrow(
    axes: Any, start: tuple[float, float], end: tuple[float, float], *, color: str = GREY, dashed: bool = False
) -> None:
    """An arrow; a dashed one is a connection without a gradient."""
    axes.add_patch(
        FancyArrowPatch(
            start,
            end,
            arrowstyle="-|>",
            mutation_scale=10,
            color=color,
            linewidth=1.3,
            linestyle=(0, (4, 3)) if dashed else "solid",
            shrinkA=0,
            shrinkB=0,
        )
    )


def note(axes: Any, x: float, y: float, text: str, *, align: str = "center", size: float = 8.5) -> None:
    """Small grey text."""
    axes.text(x, y, text, ha=align, va="center", fontsize=size, color="#4b5563", linespacing=1.35)


def spread(start: float, stop: float, number: int) -> Sequence[float]:
    """`number` evenly spaced places, the ends included."""
    return [start + (stop - start) * i / (number - 1) for i in range(number)]
