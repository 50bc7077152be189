"""Wirings of the papers' models, and the one model class that builds them."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any, Final

from fullrank.models.options import (
    GroupOptions,
    GroupPlace,
    InteractionOptions,
    ObjectiveOptions,
    RankerOptions,
    Repetition,
)

if TYPE_CHECKING:
    from fullrank.models.ranker import Ranker
    from fullrank.models.wirings.paradigms import ame, me_mmoe, mmoe, multi_embedding, omoe, shared_bottom, single
    from fullrank.models.wirings.readers import group_by_volume
    from fullrank.models.wirings.scenarios import scenario_tasks
    from fullrank.models.wirings.task_specific import ple, stem, stem_al
    from fullrank.models.wirings.wiring import ExpertSpec, Level, Reader, SetSpec, StackedExpert, Wiring, domain_tasks

_WHEN_USED: Final = {
    "ExpertSpec": "wirings.wiring",
    "Level": "wirings.wiring",
    "Ranker": "ranker",
    "Reader": "wirings.wiring",
    "SetSpec": "wirings.wiring",
    "StackedExpert": "wirings.wiring",
    "Wiring": "wirings.wiring",
    "ame": "wirings.paradigms",
    "domain_tasks": "wirings.wiring",
    "group_by_volume": "wirings.readers",
    "me_mmoe": "wirings.paradigms",
    "mmoe": "wirings.paradigms",
    "multi_embedding": "wirings.paradigms",
    "omoe": "wirings.paradigms",
    "ple": "wirings.task_specific",
    "scenario_tasks": "wirings.scenarios",
    "shared_bottom": "wirings.paradigms",
    "single": "wirings.paradigms",
    "stem": "wirings.task_specific",
    "stem_al": "wirings.task_specific",
}
"""Name -> its module. These load TensorFlow, which takes seconds, so they are imported when first used: the flags of a
command need the options alone."""


def __getattr__(name: str) -> Any:
    """Imports what needs TensorFlow when it is first asked for."""
    if name not in _WHEN_USED:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_WHEN_USED[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


__all__ = [
    "ExpertSpec",
    "GroupOptions",
    "GroupPlace",
    "InteractionOptions",
    "Level",
    "ObjectiveOptions",
    "Ranker",
    "RankerOptions",
    "Reader",
    "Repetition",
    "SetSpec",
    "StackedExpert",
    "Wiring",
    "ame",
    "domain_tasks",
    "group_by_volume",
    "me_mmoe",
    "mmoe",
    "multi_embedding",
    "omoe",
    "ple",
    "scenario_tasks",
    "shared_bottom",
    "single",
    "stem",
    "stem_al",
]
