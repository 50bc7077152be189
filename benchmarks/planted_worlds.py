"""Planted worlds: rows a second of each mechanism, and of the synthetic log that is drawn as a whole.

A world draws blocks of 8,192 rows of all columns, true logits among them, from a seed and a number; nothing is kept.
The reference is `fullrank.data.sources.synthetic`, which draws people, ads, histories and impressions of a whole log in
memory: its rows have more columns, so that the ratio says what a stream costs, not which code is better. Rates are of
processor time, one core; trainings here read less than 50,000 rows a second of it.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import report
from fullrank.data.planted.content import Content
from fullrank.data.planted.evidence import Evidence
from fullrank.data.planted.field_parts import FieldParts
from fullrank.data.planted.groups import HiddenGroups
from fullrank.data.planted.interest import Interest
from fullrank.data.planted.mechanism import Mechanism
from fullrank.data.planted.number import Number
from fullrank.data.planted.pairs import LatentPairs
from fullrank.data.planted.partners import Partners
from fullrank.data.planted.pretrained import PretrainedPair
from fullrank.data.planted.world import BLOCK, PlantedWorld, Task, World
from fullrank.data.sources.synthetic_events import draw_impressions
from fullrank.data.sources.synthetic_world import SyntheticConfig, draw_world

MECHANISMS: dict[str, tuple[Mechanism, str]] = {
    "interest": (Interest(), "decay"),
    "number": (Number(), "smooth"),
    "pairs": (LatentPairs(), "first"),
    "field_parts": (FieldParts(), "parts"),
    "partners": (Partners(), "one"),
    "groups": (HiddenGroups(), "group"),
    "content": (Content(), "content"),
    "pretrained": (PretrainedPair(), "near"),
    "evidence": (Evidence(), "linear"),
}
"""Each mechanism with an effect of its own."""


def rate(draw: Callable[[], object], *, rows: int, rounds: int) -> report.Sample:
    """Rows a second of processor time, over rounds; other programs on the machine disturb that less than the clock."""
    draw()
    values = []
    for _ in range(rounds):
        start = time.process_time()
        draw()
        values.append(rows / max(time.process_time() - start, 1e-9))
    return report.Sample(tuple(values))


def main() -> None:
    """Prints the rates."""
    options = report.arguments("Draws planted worlds.")
    rounds, blocks = (2, 1) if options.quick else (7, 8)
    config = SyntheticConfig(rows=blocks * BLOCK)
    reference = rate(lambda: draw_impressions(draw_world(config)), rows=config.rows, rounds=rounds)
    rows = []
    for name, (mechanism, effect) in MECHANISMS.items():
        task = Task(weights={f"{name}/{effect}": 1.0})
        world = PlantedWorld(World(mechanisms={name: mechanism}, tasks={"click": task}), seed=1)

        def draw(world: PlantedWorld = world) -> None:
            for number in range(blocks):
                world.block("train", number)

        ours = rate(draw, rows=blocks * BLOCK, rounds=rounds)
        rows.append(report.compare(name=name, ours=ours, reference=reference, goal="", unit="rows/CPU s"))
    report.emit(rows, options.json)


if __name__ == "__main__":
    main()
