"""The columns that exposures are counted from, and the two columns that result ([Tencent] §6.2)."""

from __future__ import annotations

import dataclasses
from typing import Final

from fullrank.data.command.errors import UsageError
from fullrank.data.schema.features import Bits
from fullrank.data.schema.schema import Schema

COUNT: Final = "repeat_count"
"""Column of the time-decayed number of earlier exposures: 0 for a first one."""
GAP: Final = "repeat_gap_days"
"""Column of the days since the last one; missing for a first one."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class ExposureSpec:
    """The columns and settings by which exposures are counted.

    Attributes:
      user: Column of the user.
      ad: Column of the ad.
      bits: Bits feature of the ad: ads whose HashIDs differ in at most `radius` bits count as the same. `None` for the
        same ad only.
      radius: See `bits`.
      tau_days: Days after which an exposure counts 1/e.
    """

    user: str
    ad: str
    bits: str | None = None
    radius: int = 3
    tau_days: float = 7.0

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that are read, except the time."""
        return (self.user, self.ad, *(() if self.bits is None else (self.bits,)))


def parse_exposures(text: str, *, radius: int = 3, tau_days: float = 7.0) -> ExposureSpec:
    """Reads `user:ad` or `user:ad:bits`.

    Raises:
      UsageError: If it is neither.
    """
    names = text.split(":")
    if len(names) not in (2, 3) or not all(names) or len(set(names)) != len(names):
        raise UsageError(
            "--exposures takes the columns of user and ad, and of the ad's HashID if similar ads count: "
            "user_id:ad_id or "
            f"user_id:ad_id:bits. Received: {text!r}."
        )
    return ExposureSpec(
        user=names[0], ad=names[1], bits=names[2] if len(names) == 3 else None, radius=radius, tau_days=tau_days
    )


def exposed_schema(schema: Schema, spec: ExposureSpec) -> Schema:
    """The schema with the two columns among its extras.

    Raises:
      ValueError: If the schema has no time or no such bits feature, or already uses one of the two names.
    """
    if schema.time is None:
        raise ValueError('--exposures needs to know what came first: set "time" in the schema to the time column.')
    if spec.bits is not None and bits_length(schema, spec) is None:
        known = ", ".join(feature.name for feature in schema.features if isinstance(feature, Bits))
        raise ValueError(
            f"--exposures: {spec.bits!r} is not a feature of kind bits in the schema. It has: {known or 'none'}."
        )
    more = tuple(name for name in (COUNT, GAP) if name not in schema.extras)
    return dataclasses.replace(schema, extras=(*schema.extras, *more))


def bits_length(schema: Schema, spec: ExposureSpec) -> int | None:
    """The number of bits of a HashID; `None` if none is used."""
    return next((f.length for f in schema.features if isinstance(f, Bits) and f.name == spec.bits), None)
