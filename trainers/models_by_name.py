"""What `--model` chooses from: a function a name, from flags to a wiring.

A new paradigm is one entry here, its name in `ModelConfig.model`, and a flag for what it alone needs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from fullrank import models
from fullrank.models import Wiring
from fullrank.models.wirings.readers import Tasks
from fullrank.trainers.config.config import ModelConfig


def _single(config: ModelConfig, tasks: Tasks) -> Wiring:
    return models.single(tasks=tasks, **_one_set(config), **_mixed(config))


def _me(config: ModelConfig, tasks: Tasks) -> Wiring:
    return models.multi_embedding(tasks=tasks, **_sets(config), **_mixed(config))


def _shared_bottom(config: ModelConfig, tasks: Tasks) -> Wiring:
    return models.shared_bottom(tasks=tasks, **_one_set(config), expert_width=config.expert_width)


def _omoe(config: ModelConfig, tasks: Tasks) -> Wiring:
    return models.omoe(tasks=tasks, **_one_set(config), expert_width=config.expert_width)


def _mmoe(config: ModelConfig, tasks: Tasks) -> Wiring:
    return models.mmoe(tasks=tasks, **_one_set(config), **_mixed(config))


def _ple(config: ModelConfig, tasks: Tasks) -> Wiring:
    given: dict[str, Any] = {"width": config.widths[0]} if config.widths else {}
    return models.ple(tasks=tasks, levels=config.levels, experts=_pairs(config) or None, **given, **_mixed(config))


def _me_mmoe(config: ModelConfig, tasks: Tasks) -> Wiring:
    return models.me_mmoe(tasks=tasks, **_sets(config), **_mixed(config))


def _ame(config: ModelConfig, tasks: Tasks) -> Wiring:
    return models.ame(tasks=tasks, **_sets(config), **_mixed(config))


def _stem(config: ModelConfig, tasks: Tasks) -> Wiring:
    return models.stem(tasks=tasks, levels=config.levels, **_sets(config), **_mixed(config))


def _stem_al(config: ModelConfig, tasks: Tasks) -> Wiring:
    main, *auxiliary = (str(task) for task in tasks)
    return models.stem_al(main=main, auxiliary=auxiliary, **_sets(config), **_mixed(config))


MODELS: Final[Mapping[str, Callable[[ModelConfig, Tasks], Wiring]]] = {
    "single": _single,
    "me": _me,
    "shared_bottom": _shared_bottom,
    "omoe": _omoe,
    "mmoe": _mmoe,
    "ple": _ple,
    "me_mmoe": _me_mmoe,
    "ame": _ame,
    "stem": _stem,
    "stem_al": _stem_al,
}


def build_wiring(config: ModelConfig, *, tasks: Tasks) -> Wiring:
    """The wiring that the flags describe.

    Args:
      config: Which model.
      tasks: What to predict; several in one entry share a tower. Of stem_al the main task, then the auxiliary ones.

    Raises:
      ValueError: If the experts or widths do not fit.
    """
    return MODELS[config.model](config, tasks)


def _mixed(config: ModelConfig) -> dict[str, Any]:
    return {"expert_width": config.expert_width, "gate": config.gate}


def _sets(config: ModelConfig) -> dict[str, Any]:
    """Widths and experts as given; what is not given is left to the wiring's defaults."""
    given = {"widths": config.widths, "experts": _pairs(config)}
    return {name: value for name, value in given.items() if value}


def _one_set(config: ModelConfig) -> dict[str, Any]:
    for text, (_, place) in zip(config.experts, _pairs(config), strict=True):
        if place != 0:
            raise ValueError(f"--experts: {text!r} reads set {place}, but --model={config.model} has only set 0.")
    given = {"width": config.widths[:1], "experts": [[kind for kind, _ in _pairs(config)]] if config.experts else []}
    return {name: value[0] for name, value in given.items() if value}


def _pairs(config: ModelConfig) -> Sequence[tuple[str, int]]:
    return [_expert(text) for text in config.experts]


def _expert(text: str) -> tuple[str, int]:
    kind, _, place = text.partition(":")
    if not kind or not (place or "0").isdecimal():
        raise ValueError(f"--experts: {text!r} is not interaction:set, such as fm:0.")
    return kind, int(place or 0)
