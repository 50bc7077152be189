"""What `--model` chooses from: a function a name, from flags to a wiring.

A new paradigm is one entry here, its name in `ModelConfig.model`, and a flag for what it alone needs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final

from fullrank.models import Wiring, multi_embedding, single
from fullrank.trainers.config import ModelConfig


def _single(config: ModelConfig, tasks: Sequence[str]) -> Wiring:
    kinds = []
    for expert in config.experts or ("crossnet", "flat"):
        kind, place = _expert(expert)
        if place != 0:
            raise ValueError(f"--experts: {expert!r} reads set {place}, but --model=single has only set 0.")
        kinds.append(kind)
    return single(
        width=(config.widths or (16,))[0],
        experts=kinds,
        tasks=tasks,
        expert_width=config.expert_width,
        gate=config.gate,
    )


def _me(config: ModelConfig, tasks: Sequence[str]) -> Wiring:
    return multi_embedding(
        widths=config.widths or (16, 16),
        experts=[_expert(expert) for expert in config.experts or ("fm:0", "flat:0", "ipnn:1")],
        tasks=tasks,
        expert_width=config.expert_width,
        gate=config.gate,
    )


MODELS: Final[Mapping[str, Callable[[ModelConfig, Sequence[str]], Wiring]]] = {"single": _single, "me": _me}


def build_wiring(config: ModelConfig, *, tasks: Sequence[str]) -> Wiring:
    """The wiring that the flags describe.

    Raises:
      ValueError: If the experts or widths do not fit.
    """
    return MODELS[config.model](config, tasks)


def _expert(text: str) -> tuple[str, int]:
    kind, _, place = text.partition(":")
    if not kind or not (place or "0").isdecimal():
        raise ValueError(f"--experts: {text!r} is not interaction:set, such as fm:0.")
    return kind, int(place or 0)
