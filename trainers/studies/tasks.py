"""Studies of several tasks: which paradigm keeps interests apart, and whether auxiliary tasks help ([Tencent] §5)."""

from __future__ import annotations

from typing import Final

from fullrank.trainers.studies.plan import SMALL_DATA, Study

_COMMON: Final = (*SMALL_DATA, "--epochs=6", "--patience=1", "--monitor=mean_ne", "--expert_width=64")
_PARADIGMS: Final = {
    "single": ("--model=single", "--widths=16", "--experts=crossnet,flat"),
    "shared_bottom": ("--model=shared_bottom", "--widths=16", "--experts=crossnet,flat"),
    "mmoe": ("--model=mmoe", "--widths=16", "--experts=crossnet,flat"),
    "ple": ("--model=ple", "--widths=16"),
    "me_mmoe": ("--model=me_mmoe", "--widths=16,16", "--experts=crossnet:0,flat:0,crossnet:1,flat:1"),
    "stem": ("--model=stem", "--widths=16"),
    "ame": (
        "--model=ame",
        "--widths=16,32,64",
        "--experts=crossnet:0,flat:0,crossnet:1,flat:1,crossnet:2,flat:2",
    ),
}


def _paradigms(name: str, *, tasks: tuple[str, ...], segments: tuple[str, ...] = ()) -> Study:
    return Study(
        name=name,
        question=f"Which paradigm serves {len(tasks)} tasks best, and what does each gain over a model of its own?",
        flags=_COMMON,
        baseline="single",
        variants=_PARADIGMS,
        expected={"stem": "better", "ame": "better"},
        segments=segments,
        tasks=tasks,
        one_task_a_model=("single",),
    )


def _auxiliary(name: str, *, main: str, auxiliary: tuple[str, ...]) -> Study:
    together = f"--tasks={','.join((main, *auxiliary))}"
    monitor = f"--monitor={main}_ne"
    return Study(
        name=name,
        question=f"Do {', '.join(auxiliary)} help to predict {main}, if they may not spoil its embeddings?",
        flags=(*_COMMON, monitor),
        baseline="single",
        variants={
            "single": (*_PARADIGMS["single"], f"--tasks={main}"),
            "ple": (*_PARADIGMS["ple"], together),
            "stem_al": (
                "--model=stem_al",
                "--widths=16,16",
                f"--tasks={main}",
                f"--auxiliary_tasks={','.join(auxiliary)}",
            ),
        },
        expected={"stem_al": "better"},
    )


_KUAIRAND: Final = ("long_view", "click", "like", "profile_enter", "comment", "forward", "follow")

MULTI_TASK: Final = (
    _paradigms("tasks_census", tasks=("income", "never_married", "college")),
    _paradigms("tasks_kuairand", tasks=_KUAIRAND),
    _paradigms("tasks_synthetic", tasks=("click", "like", "conversion"), segments=("contradictory",)),
    _auxiliary("auxiliary_census", main="income", auxiliary=("never_married", "college")),
    _auxiliary("auxiliary_kuairand", main="long_view", auxiliary=("click", "like")),
    _auxiliary("auxiliary_synthetic", main="conversion", auxiliary=("click", "like")),
)
