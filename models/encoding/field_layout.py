"""Which part and group each field of a model belongs to, from the schema ([Tencent] §4.3)."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from fullrank.data.schema.schema import Schema


@dataclasses.dataclass(frozen=True, kw_only=True)
class FieldLayout:
    """What interactions may know about the F axis.

    Attributes:
      names: Names of the fields, in their order.
      parts: Parts of each field: what describes the ad is one part, the user and the context are the other. Numbered
        from 0 in order of appearance; one part alone if all fields are of it.
      groups: Groups of each field, numbered from 0 in order of appearance: those of equal side and `group` in the
        schema. A field without a group belongs to that of its side.
    """

    names: tuple[str, ...]
    parts: tuple[int, ...]
    groups: tuple[int, ...]

    def of_part(self, part: int) -> tuple[int, ...]:
        """The numbers of the fields of a part."""
        return tuple(field for field, own in enumerate(self.parts) if own == part)


def field_layout(schema: Schema, names: Sequence[str], *, learned: Sequence[str] = ()) -> FieldLayout:
    """Reads sides and groups of the features that fields are made of.

    Args:
      schema: Schema of the data.
      names: The features behind the first fields of the F axis, in its order.
      learned: Names of the fields behind them, which no feature is made of: of the user's part, each its own group.
    """
    feature_of = {feature.name: feature for feature in schema.features}
    keys = [(feature_of[name].side, feature_of[name].group) for name in names]
    keys += [("user", f"learned {name}") for name in learned]
    return FieldLayout(
        names=(*names, *learned),
        parts=_numbered([side == "ad" for side, _ in keys]),
        groups=_numbered(keys),
    )


def _numbered(keys: Sequence[object]) -> tuple[int, ...]:
    number_of = {key: number for number, key in enumerate(dict.fromkeys(keys))}
    return tuple(number_of[key] for key in keys)
