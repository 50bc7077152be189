"""Pictures of how a model is put together: the flow, and what a task of STEM reads and trains."""

from __future__ import annotations

from typing import Any

from picture_style import BLUE, GREEN, GREY, ORANGE, PURPLE, arrow, box, canvas, note, spread


def flow() -> Any:
    """Features -> sets -> experts -> gates -> towers -> heads, for two tasks."""
    figure, axes = canvas(8.6, 6.6)
    levels = {
        "features": 60.5,
        "encoders": 52.0,
        "sets": 41.0,
        "experts": 29.5,
        "gates": 19.5,
        "towers": 11.5,
        "heads": 4,
    }
    words = {
        "features": "features\nof schema.json",
        "encoders": "encoders",
        "sets": "embedding sets\n[B, F, d] each",
        "experts": "experts\n[B, E, H]",
        "gates": "gates, one per task\n[B, T, H]",
        "towers": "towers",
        "heads": "heads",
    }
    for name, text in words.items():
        note(axes, 8.5, levels[name], text)
    features = [("ids", BLUE), ("numbers", GREEN), ("histories", ORANGE), ("vectors", PURPLE)]
    encoders = [
        "vocabulary\nor hash",
        "digits (MNS),\nbuckets, ...",
        "temporal\ninterest, ...",
        "similarity,\nHashID bits",
    ]
    places = spread(25, 77, 4)
    for (name, color), encoder, x in zip(features, encoders, places, strict=True):
        box(axes, x, levels["features"], name, size=(12, 3.6), color=color, bold=True)
        arrow(axes, (x, 58.6), (x, 55.0))
        box(axes, x, levels["encoders"], encoder, size=(14, 5.6), color=color)
        for target in (37, 65):
            arrow(axes, (x, 49.1), (target + (x - target) * 0.12, 44.2))
    for number, x in enumerate((37, 65)):
        box(
            axes,
            x,
            levels["sets"],
            f"set {number}: every field has\na row in tables of its own",
            size=(23, 6),
            color=GREY,
            bold=True,
        )
    experts = [("GwPFM", 27, 37), ("flat DNN", 45, 37), ("IPNN", 65, 65)]
    for name, x, source in experts:
        box(axes, x, levels["experts"], f"{name}\n+ projection to H", size=(15, 6), color=BLUE)
        arrow(axes, (source + (x - source) * 0.45, 37.9), (x, 32.7))
    for task, x in (("click", 37), ("buy", 65)):
        for _, expert, _ in experts:
            arrow(axes, (expert, 26.4), (x + (expert - x) * 0.12, 22.0), color=GREEN)
        box(axes, x, levels["gates"], f"gate of {task}", size=(17, 4.4), color=GREEN)
        arrow(axes, (x, 17.2), (x, 13.9))
        box(axes, x, levels["towers"], f"tower of {task}", size=(17, 4.2), color=ORANGE)
        arrow(axes, (x, 9.3), (x, 6.4))
    box(axes, 37, levels["heads"], "logit", size=(17, 4.2), color=PURPLE)
    box(axes, 65, levels["heads"], "Gaussian process, ...", size=(20, 4.2), color=PURPLE)
    return figure


def stem() -> Any:
    """STEM: each task trains its own set and the shared one, and reads the other's without a gradient."""
    figure, axes = canvas(7.2, 4.0)
    sets = [("set of click", 14, BLUE), ("shared set", 36, GREY), ("set of like", 58, ORANGE)]
    for name, x, color in sets:
        box(axes, x, 6, name, size=(16, 5), color=color, bold=True)
        arrow(axes, (x, 8.7), (x, 12.8))
        box(axes, x, 15.5, "expert", size=(12, 5), color=color)
    for task, x, color, own in (("click", 22, BLUE, 14), ("like", 50, ORANGE, 58)):
        for _, source, _ in sets:
            arrow(
                axes,
                (source + (x - source) * 0.06, 18.3),
                (x + (source - x) * 0.12, 27.0),
                color=color,
                dashed=source not in (own, 36),
            )
        box(axes, x, 29.6, f"gate and tower of {task}", size=(22, 5), color=color)
        arrow(axes, (x, 32.3), (x, 35.2), color=color)
        axes.text(x, 37, f"{task}", ha="center", va="center", fontsize=9, weight="bold", color="#1f2937")
    note(axes, 36, 1.6, "solid: read and trained        dashed: read, but no gradient passes back")
    return figure
