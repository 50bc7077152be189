"""A model as plain data: its embedding sets, which expert reads which, and what each task may read and train.

Shared bottom, MMoE, ME, AME and STEM differ in nothing else (Tencent Figure 4). A wiring holds no Keras object,
compares by value and prints itself.
"""

from __future__ import annotations

import dataclasses
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
    """What one task may read: an entry an expert, `off`, `detached` (read without training it) or `train`."""

    task: str
    access: tuple[Access, ...]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Wiring:
    """Sets, experts and readers of a model.

    Attributes:
      paradigm: Name of the wiring, for people.
      sets: Embedding sets.
      experts: Experts, each on one of the sets.
      readers: One a task.
      expert_width: H, the common width of expert outputs.
      gate: `softmax` or `mean`.
    """

    paradigm: str
    sets: tuple[SetSpec, ...]
    experts: tuple[ExpertSpec, ...]
    readers: tuple[Reader, ...]
    expert_width: int = 64
    gate: Literal["softmax", "mean"] = "softmax"

    def __post_init__(self) -> None:
        """Refuses what could not be built, or would leave a part without use."""
        names = [s.name for s in self.sets]
        for what, given in (("set", names), ("expert", [e.name for e in self.experts]), ("task", list(self.tasks))):
            if not given or len(set(given)) != len(given):
                raise ValueError(
                    f"Wiring {self.paradigm!r} needs unique {what} names, at least one. Received: {given}."
                )
        for expert in self.experts:
            if expert.set not in names:
                raise ValueError(f"Expert {expert.name!r} reads set {expert.set!r}, but the sets are {names}.")
        unread = [s for s in names if s not in {e.set for e in self.experts}]
        if unread:
            raise ValueError(
                f"No expert of wiring {self.paradigm!r} reads set(s) {unread}: assign one, or leave them out."
            )
        for reader in self.readers:
            if len(reader.access) != len(self.experts):
                raise ValueError(
                    f"Task {reader.task!r} needs {len(self.experts)} access entries, one an expert. "
                    f"Received: {reader.access}."
                )

    @property
    def tasks(self) -> tuple[str, ...]:
        """Tasks, in the order of their readers."""
        return tuple(reader.task for reader in self.readers)

    def describe(self) -> str:
        """The wiring as a table: a row an expert, a column a task."""
        widths = {s.name: s.width for s in self.sets}
        rows = [("expert", "kind", "set", "width", *self.tasks)]
        for place, expert in enumerate(self.experts):
            access = (reader.access[place] for reader in self.readers)
            rows.append((expert.name, expert.kind, expert.set, str(widths[expert.set]), *access))
        wide = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
        lines = ["  ".join(cell.ljust(w) for cell, w in zip(row, wide, strict=True)).rstrip() for row in rows]
        title = f"{self.paradigm}: {len(self.sets)} set(s), H = {self.expert_width}, {self.gate} gate"
        return "\n".join([title, *lines])
