"""Pictures of collapse, field parts, learned groups, and of two formulas that cannot be taken as printed."""

from __future__ import annotations

from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import numpy.typing as npt

from picture_style import BLUE, GREEN, GREY, ORANGE, PURPLE

Array = npt.NDArray[np.float64]


def _axes(width: float, height: float, columns: int = 1) -> tuple[Any, Any]:
    figure, axes = plt.subplots(1, columns, figsize=(width, height), layout="constrained", facecolor="white")
    for each in np.atleast_1d(axes):
        each.spines[["top", "right"]].set_visible(False)
    return figure, axes


def collapse() -> Any:
    """Two tables of width 3: one fills space, one lies almost in a plane; and their singular values."""
    draw = np.random.default_rng(0)
    full = draw.normal(size=(400, 3))
    flat = full * np.array([1.0, 0.8, 0.06])
    figure, axes = _axes(7.6, 3.0, columns=3)
    for each, table, title, color in (
        (axes[0], full, "fills its width", BLUE),
        (axes[1], flat, "collapsed", ORANGE),
    ):
        each.scatter(table[:, 0], table[:, 2], s=5, color=color)
        each.set(xlim=(-3.5, 3.5), ylim=(-3.5, 3.5), title=title, xlabel="first direction", ylabel="third direction")
        each.set_aspect("equal")
    for table, name, color, shift in ((full, "full", BLUE, -0.2), (flat, "collapsed", ORANGE, 0.2)):
        values = np.linalg.svd(table, compute_uv=False)
        abundance = values.sum() / values[0]
        axes[2].bar(np.arange(1, 4) + shift, values, 0.38, color=color, label=f"{name}: IA = {abundance:.2f}")
    axes[2].set(title="singular values", xticks=(1, 2, 3), ylim=(0, 32))
    axes[2].legend(frameon=False, fontsize=8.5)
    return figure


def field_parts() -> Any:
    """GwPFM: which embedding of a field a partner meets (part), and which weight the pair has (group)."""
    groups = np.array([0, 0, 0, 1, 1, 2, 2, 3, 3, 3])
    parts = (groups == 3).astype(int)
    names = ["user"] * 3 + ["history"] * 2 + ["context"] * 2 + ["ad"] * 3
    figure, axes = plt.subplots(figsize=(5.4, 4.6), layout="constrained", facecolor="white")
    weight = np.minimum.outer(groups, groups) * 4 + np.maximum.outer(groups, groups)
    shown = np.where(
        np.triu(np.ones_like(weight), 1) > 0, np.unique(weight, return_inverse=True)[1].reshape(10, 10), np.nan
    )
    axes.imshow(shown, cmap="tab10", alpha=0.55)
    for i in range(10):
        for j in range(i + 1, 10):
            axes.text(j, i, f"{parts[j]}{parts[i]}", ha="center", va="center", fontsize=8)
    axes.set_xticks(range(10), names, rotation=60, fontsize=8.5)
    axes.set_yticks(range(10), names, fontsize=8.5)
    axes.set_title(
        "one colour, one weight r; digits: P(j) and P(i),\nthe embeddings that i and j show each other", fontsize=9.5
    )
    axes.spines[:].set_visible(False)
    return figure


def residual_quantisation() -> Any:
    """Two levels of four codes: the first names a coarse group, the second what it left over."""
    draw = np.random.default_rng(3)
    coarse = np.array([[-2, -1.6], [2, -1.8], [-1.8, 1.8], [2.1, 1.7]])
    fine = np.array([[-0.7, 0.0], [0.7, 0.0], [0.0, 0.7], [0.0, -0.7]])
    points = (coarse[:, None, None] + fine[None, :, None] + draw.normal(0, 0.14, (4, 4, 22, 2))).reshape(-1, 2)
    first = np.linalg.norm(points[:, None] - coarse, axis=2).argmin(axis=1)
    left = points - coarse[first]
    second = np.linalg.norm(left[:, None] - fine, axis=2).argmin(axis=1)
    colors = np.array([BLUE, ORANGE, GREEN, PURPLE])
    figure, axes = _axes(7.4, 3.4, columns=2)
    axes[0].scatter(*points.T, s=8, color=colors[first])
    axes[0].scatter(*coarse.T, s=110, marker="*", color="black", zorder=3)
    axes[0].set_title("r: nearest of four codes, level 1", fontsize=10)
    axes[1].scatter(*left.T, s=8, color=colors[second])
    axes[1].scatter(*fine.T, s=110, marker="*", color="black", zorder=3)
    axes[1].set_title("what is left of r: nearest of four codes, level 2", fontsize=10)
    for each in axes:
        each.set_aspect("equal")
        each.set(xticks=(), yticks=())
    return figure


def residual_target() -> Any:
    """CE(f, t) = softplus(f) - t f: without a minimum for a negative target t."""
    f = np.linspace(-9, 5, 400)
    figure, axes = _axes(5.6, 3.3)
    for target, name, color in (
        (-0.3, "as printed: target -p, here -0.3", ORANGE),
        (0.3, "default: target |0 - p| = 0.3", BLUE),
    ):
        axes.plot(f, np.logaddexp(0, f) - target * f, color=color, label=name)
    axes.set(xlabel="logit f of a negative example", ylabel="loss", ylim=(-3, 4))
    axes.axhline(0, color=GREY, linewidth=0.7)
    axes.legend(frameon=False, fontsize=9)
    return figure


def exposure_recency() -> Any:
    """Weight of a repeated negative by the gap to the last exposure: as printed, and decaying."""
    gap = np.linspace(0, 10, 300)
    figure, axes = _axes(5.6, 3.0)
    axes.plot(gap, gap, color=ORANGE, label="as printed: the gap in days")
    axes.plot(gap, np.exp(-gap / 3), color=BLUE, label="default: exp(-gap / tau)")
    axes.set(xlabel="days since the same ad was shown", ylabel="recency term", ylim=(0, 4))
    axes.legend(frameon=False, fontsize=9)
    return figure
