"""Reads from the schema which part and group each field of a model belongs to ([Tencent] §4.3)."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from fullrank.data.schema.schema import Schema


@dataclasses.dataclass(frozen=True, kw_only=True)
class FieldLayout:
    """Names, parts and groups of the fields on the F axis, for interactions.

    Attributes:
      names: Names of the fields, in their order.
      parts: Part of each field: fields that describe the ad are one part, those of user and context the other. Numbered
        from 0 in order of appearance; there is only one part if all fields belong to it.
      groups: Group of each field, numbered from 0 in order of appearance: fields of equal side and `group` in the
        schema. A field without a `group` belongs to the group of its side.
    """

    names: tuple[str, ...]
    parts: tuple[int, ...]
    groups: tuple[int, ...]

    def of_part(self, part: int) -> tuple[int, ...]:
        """The indices of the fields of a part."""
        return tuple(field for field, own in enumerate(self.parts) if own == part)


def field_layout(schema: Schema, names: Sequence[str], *, learned: Sequence[str] = ()) -> FieldLayout:
    """Reads sides and groups of the features that fields are made of.

    Args:
      schema: Schema of the data.
      names: The features behind the first fields of the F axis, in its order.
      learned: Names of the fields after them, which come from no feature: in the user's part, each its own group.
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
