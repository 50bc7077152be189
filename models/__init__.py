"""Wirings of the papers' models, and the one model class that builds them."""

from fullrank.models.interactions import InteractionOptions
from fullrank.models.options import GroupOptions, GroupPlace, ObjectiveOptions, RankerOptions, Repetition
from fullrank.models.ranker import Ranker
from fullrank.models.wirings.paradigms import ame, me_mmoe, mmoe, multi_embedding, omoe, shared_bottom, single
from fullrank.models.wirings.readers import group_by_volume
from fullrank.models.wirings.scenarios import scenario_tasks
from fullrank.models.wirings.task_specific import ple, stem, stem_al
from fullrank.models.wirings.wiring import ExpertSpec, Level, Reader, SetSpec, StackedExpert, Wiring, domain_tasks

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
