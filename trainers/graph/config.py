"""The configuration of graph pre-training."""

from __future__ import annotations

import dataclasses
from typing import Literal, NamedTuple

from fullrank.models.options.setting import REQUIRED, check_settings, setting


class Domain(NamedTuple):
    """The clicks of one domain: the records, and the columns of label, user and item."""

    data: str
    label: str
    user: str
    item: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class PretrainGraphConfig:
    """The clicks that form the graph, and how its vectors are learned."""

    data: tuple[str, ...] = setting(REQUIRED, "Directory of records; several if each domain has its own.")
    label: tuple[str, ...] = setting(REQUIRED, "Label whose value 1 is an edge; several if domains differ.")
    user: tuple[str, ...] = setting(REQUIRED, "Column of the user's id, the same ids in every domain.")
    item: tuple[str, ...] = setting(REQUIRED, "Column of the item's id; several if domains differ.")
    output: str = setting(REQUIRED, "Directory to write users.parquet, items.parquet, model.keras and graph.json into.")
    overwrite: bool = setting(False, "Replace the output of an earlier run.")
    first_fraction: float = setting(
        0.5, "Share of the first domain's training clicks, the oldest ones, that form the graph.", above=0
    )
    until: int | None = setting(
        None, "Instead: the clicks up to this time form it, in the unit of the first domain's time column."
    )
    width: int = setting(32, "Length of the vectors.", minimum=1)
    neighbours: tuple[int, ...] = setting((15, 5), "Neighbours sampled per node, and per neighbour.", minimum=1)
    id_dropout: float = setting(0.5, "Share of occurrences in which training treats a node as new.", minimum=0, below=1)
    negatives: float = setting(5.0, "Weight of random pairs relative to a click: Q of the GraphSAGE loss.", above=0)
    shared_negatives: int = setting(
        64, "Random users, and as many items, that serve as negatives of a batch.", minimum=1
    )
    temperature: float = setting(0.2, "Temperature: divisor of the cosines in the loss.", above=0)
    learning_rate: float = setting(0.01, "Learning rate of Adam.", above=0)
    epochs: int = setting(20, "Passes over the edges; small graphs need more.", minimum=1)
    batch_size: int = setting(128, "Edges per step.", minimum=1)
    seed: int = setting(0, "Seed of weights, order and samples.", minimum=0)
    on_bad_record: Literal["fail", "skip"] = setting("fail", "What to do with a record that cannot be read.")
    max_bad_fraction: float = setting(
        0.01, "With --on_bad_record=skip: stop when more than this share of the records is bad.", minimum=0, below=1
    )

    def __post_init__(self) -> None:
        """Validates the settings."""
        check_settings(self)
        if self.first_fraction > 1:
            raise ValueError(f"--first_fraction has to be at most 1. Received: {self.first_fraction}.")
        if len(self.neighbours) != 2:
            raise ValueError(f"--neighbours needs two numbers, one per layer. Received: {self.neighbours}.")
        if len(set(self.domains)) < len(self.domains):
            raise ValueError("two domains are the same in --data, --label, --user and --item.")

    @property
    def domains(self) -> tuple[Domain, ...]:
        """The domains; a value that is given once applies to all.

        Raises:
          ValueError: If a flag has neither one value nor one for each domain.
        """
        given = {name: getattr(self, name) for name in Domain._fields}
        number = max(len(values) for values in given.values())
        for name, values in given.items():
            if len(values) not in (1, number):
                raise ValueError(f"--{name} needs one value, or {number}, one per domain. Received: {len(values)}.")
        columns = [values * number if len(values) == 1 else values for values in given.values()]
        return tuple(Domain(*values) for values in zip(*columns, strict=True))
