"""A model as plain data: sets, the set of each expert, what each task reads and trains ([Tencent] §4.2, §5).

Shared bottom, MMoE, PLE, ME, AME and STEM differ only in that ([Tencent] Figure 4). A wiring holds no Keras object,
compares by value and prints itself.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Sequence
from typing import Literal

Access = Literal["off", "detached", "train"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class SetSpec:
    """One embedding set: every feature gets a row of `width`."""

    name: str
    width: int


@dataclasses.dataclass(frozen=True, kw_only=True)
class ExpertSpec:
    """One expert: an interaction of `kind` over the fields of the set named `set`."""

    name: str
    kind: str
    set: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class Reader:
    """A gate and its access to each expert: `off`, `detached` (read without training it) or `train`.

    Attributes:
      task: The task that it serves; a name of its own if it serves a group or the experts of a further level.
      access: One entry per expert of the level below.
      group: Tasks that share this gate and the tower above it, each with a head of its own; `task` alone if empty.
    """

    task: str
    access: tuple[Access, ...]
    group: tuple[str, ...] = ()

    @property
    def tasks(self) -> tuple[str, ...]:
        """The tasks it serves."""
        return self.group or (self.task,)


@dataclasses.dataclass(frozen=True, kw_only=True)
class StackedExpert:
    """An expert of a further level: a dense layer over the output of the reader `reads` of the level below."""

    name: str
    reads: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class Level:
    """A further level (customised gate control of PLE): readers over the experts below, and experts on the readers."""

    readers: tuple[Reader, ...]
    experts: tuple[StackedExpert, ...]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Wiring:
    """Sets, experts and readers of a model.

    Attributes:
      paradigm: Name of the wiring, for display.
      sets: Embedding sets.
      experts: Experts, each on one of the sets.
      readers: One per tower, over the experts of the last level.
      levels: Levels above `experts`, lowest first. Every reader above the first level has the name of one below, whose
        output its gate reads.
      expert_width: H, the common width of expert outputs.
      gate: `softmax`, one per reader; `shared`, one softmax for all readers; or `mean`.
      auxiliary: Tasks used only in training; an export leaves them out.
      scenarios: Ids of scenarios; then the readers' tasks are `task@scenario`, every task with every scenario, and an
        example takes the reader of its own scenario. With auxiliary tasks the readers' tasks are `task`, which is that
        of the first scenario, and `task@scenario` of each other one, all of them auxiliary ([Tencent] §5.2): each is
        learned from the examples of its scenario alone, by the one label `task`.
    """

    paradigm: str
    sets: tuple[SetSpec, ...]
    experts: tuple[ExpertSpec, ...]
    readers: tuple[Reader, ...]
    levels: tuple[Level, ...] = ()
    expert_width: int = 64
    gate: Literal["softmax", "shared", "mean"] = "softmax"
    auxiliary: tuple[str, ...] = ()
    scenarios: tuple[int | str, ...] = ()

    def __post_init__(self) -> None:
        """Rejects a wiring that cannot be built or that leaves a part unused."""
        names = [s.name for s in self.sets]
        self._check_unique("set", names)
        self._check_unique("expert", [expert.name for _, experts in self.stages for expert in experts])
        self._check_unique("task", list(self.heads))
        self._check_scenarios()
        for expert in self.experts:
            if expert.set not in names:
                raise ValueError(f"Expert {expert.name!r} reads set {expert.set!r}, but the sets are {names}.")
        unread = [s for s in names if s not in {e.set for e in self.experts}]
        if unread:
            raise ValueError(
                f"No expert of wiring {self.paradigm!r} reads set(s) {unread}: assign one, or leave them out."
            )
        unknown = [task for task in self.auxiliary if task not in self.tasks]
        if unknown or set(self.auxiliary) == set(self.tasks):
            raise ValueError(
                f"Auxiliary tasks are some of the tasks {list(self.tasks)}, but not all. "
                f"Received: {list(self.auxiliary)}."
            )
        self._check_levels()

    def _check_unique(self, what: str, given: list[str]) -> None:
        if not given or len(set(given)) != len(given):
            raise ValueError(f"Wiring {self.paradigm!r} needs unique {what} names, at least one. Received: {given}.")

    def _check_scenarios(self) -> None:
        if not self.scenarios:
            return
        if self.auxiliary:
            wanted = domain_tasks(self.heads[0], scenarios=self.scenarios)
            if self.heads != wanted or self.auxiliary != wanted[1:]:
                raise ValueError(
                    f"With scenarios {list(self.scenarios)} and auxiliary tasks, the readers' tasks are one task of "
                    f"the first scenario and its label in each other one, all auxiliary: {', '.join(wanted)}. "
                    f"Received: {', '.join(self.heads)}, auxiliary: {', '.join(self.auxiliary)}."
                )
            return
        missing = {f"{task}@{s}" for task in self.tasks for s in self.scenarios} ^ set(self.heads)
        if missing:
            raise ValueError(
                f"With scenarios {list(self.scenarios)} the readers' tasks are task@scenario, every task with every "
                f"scenario. Received: {list(self.heads)}, which differ in {sorted(missing)}."
            )

    def _check_levels(self) -> None:
        below: tuple[str, ...] = ()
        for readers, experts in self.stages:
            self._check_unique("reader", [reader.task for reader in readers])
            for reader in readers:
                if len(reader.access) != len(experts):
                    raise ValueError(
                        f"Task {reader.task!r} needs {len(experts)} access entries, one per expert. "
                        f"Received: {reader.access}."
                    )
                if below and reader.task not in below:
                    raise ValueError(
                        f"Reader {reader.task!r} has no reader of the same name below it, only {list(below)}."
                    )
            below = tuple(reader.task for reader in readers)
        for level in self.levels:
            streams = [reader.task for reader in level.readers]
            for expert in level.experts:
                if expert.reads not in streams:
                    raise ValueError(f"Expert {expert.name!r} reads {expert.reads!r}, but the readers are {streams}.")

    @property
    def stages(self) -> tuple[tuple[tuple[Reader, ...], tuple[ExpertSpec | StackedExpert, ...]], ...]:
        """Readers with the experts that they read, lowest level first."""
        experts: tuple[tuple[ExpertSpec | StackedExpert, ...], ...]
        experts = (self.experts, *(level.experts for level in self.levels))
        readers = (*(level.readers for level in self.levels), self.readers)
        return tuple(zip(readers, experts, strict=True))

    @property
    def heads(self) -> tuple[str, ...]:
        """The heads that the readers serve: the tasks, or `task@scenario`."""
        return tuple(task for reader in self.readers for task in reader.tasks)

    @property
    def tasks(self) -> tuple[str, ...]:
        """Tasks, in the order of their readers."""
        return tuple(dict.fromkeys(self.task_of_heads))

    @property
    def task_of_heads(self) -> tuple[str, ...]:
        """The task of each head."""
        return tuple(head.rpartition("@")[0] for head in self.heads) if self.head_scenarios else self.heads

    @property
    def head_scenarios(self) -> tuple[int | str, ...]:
        """The scenarios of which every task has a head; none where scenarios make auxiliary tasks."""
        return () if self.auxiliary else self.scenarios

    @property
    def domains(self) -> dict[str, int | str]:
        """Task -> the only scenario whose examples it learns from; empty unless scenarios make auxiliary tasks."""
        return dict(zip(self.tasks, self.scenarios, strict=True)) if self.scenarios and self.auxiliary else {}

    @property
    def labels(self) -> tuple[str, ...]:
        """The label of each task: its name, or that of the main task if scenarios make auxiliary tasks."""
        return self.tasks[:1] * len(self.tasks) if self.domains else self.tasks

    @property
    def tower_of(self) -> tuple[int, ...]:
        """The tower of each head."""
        return tuple(place for place, reader in enumerate(self.readers) for _ in reader.tasks)

    def access_to_sets(self, reader: Reader) -> tuple[Access, ...]:
        """The access of a reader of `experts` to each set: its highest access to an expert on the set."""
        order: tuple[Access, ...] = ("off", "detached", "train")
        given = {s.name: 0 for s in self.sets}
        for expert, access in zip(self.experts, reader.access, strict=True):
            given[expert.set] = max(given[expert.set], order.index(access))
        return tuple(order[most] for most in given.values())

    def describe(self) -> str:
        """The wiring as tables, one per level: one row per expert, one column per reader."""
        widths = {s.name: s.width for s in self.sets}
        title = f"{self.paradigm}: {len(self.sets)} set(s), H = {self.expert_width}, {self.gate} gate"
        lines = [title + (f", auxiliary: {', '.join(self.auxiliary)}" if self.auxiliary else "")]
        lines[0] += f", {len(self.scenarios)} scenarios" if self.scenarios else ""
        for readers, experts in self.stages:
            names = [reader.task for reader in readers]
            bottom = isinstance(experts[0], ExpertSpec)
            rows: list[tuple[str, ...]] = [("expert", *(("kind", "set", "width") if bottom else ("reads",)), *names)]
            for place, expert in enumerate(experts):
                access = (reader.access[place] for reader in readers)
                if isinstance(expert, ExpertSpec):
                    rows.append((expert.name, expert.kind, expert.set, str(widths[expert.set]), *access))
                else:
                    rows.append((expert.name, expert.reads, *access))
            lines += _table(rows)
        lines += [f"{reader.task}: {', '.join(reader.group)}" for reader in self.readers if reader.group]
        return "\n".join(lines)


def _table(rows: Sequence[Sequence[str]]) -> list[str]:
    wide = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return ["  ".join(cell.ljust(w) for cell, w in zip(row, wide, strict=True)).rstrip() for row in rows]


def domain_tasks(task: str, *, scenarios: Sequence[int | str]) -> tuple[str, ...]:
    """`task` for the first scenario and `task@scenario` for each other one: STEM-AL across domains ([Tencent] §5.2).

    Example:
        >>> scenarios = ("applet", "moments", "channels")
        >>> main, *auxiliary = domain_tasks("click", scenarios=scenarios)
        >>> wiring = dataclasses.replace(stem_al(main=main, auxiliary=auxiliary), scenarios=scenarios)
    """
    return (task, *(f"{task}@{scenario}" for scenario in scenarios[1:]))


def set_scopes(wiring: Wiring) -> list[str]:
    """Makes the sets' names valid for TensorFlow: a set may be named after a task, whose name may hold anything."""
    return [
        spec.name if re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]*", spec.name) else f"set.{number}"
        for number, spec in enumerate(wiring.sets)
    ]
