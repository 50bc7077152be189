"""The columns that exposures are counted from, the flags for them, and the columns that result ([Tencent] §6.2)."""

from __future__ import annotations

import dataclasses
from typing import Final

from absl import flags

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


def define_exposure_flags(flag_values: flags.FlagValues) -> None:
    """Defines --exposures and its companions."""
    flags.DEFINE_string(
        "exposures",
        None,
        "Columns of user and ad, as user_id:ad_id: adds the extras repeat_count (earlier exposures of the ad to the "
        "user, decayed by time) and repeat_gap_days (days since the last one) for train --repetition_weight. "
        "user_id:ad_id:bits counts ads whose HashIDs differ in few bits as the same.",
        flag_values=flag_values,
    )
    tau = "Days after which an exposure counts 1/e; --exposures."
    flags.DEFINE_float("exposures_tau_days", 7.0, tau, lower_bound=0.0, flag_values=flag_values)
    radius = "Bits in which the HashID of a similar ad may differ; --exposures with bits."
    flags.DEFINE_integer("exposures_radius", 3, radius, lower_bound=0, flag_values=flag_values)


def read_exposures(flag_values: flags.FlagValues) -> ExposureSpec | None:
    """The exposures that the flags ask for; `None` if they ask for none.

    Raises:
      UsageError: If the flags contradict each other.
    """
    text = flag_values.exposures
    if text is None:
        for flag in ("exposures_tau_days", "exposures_radius"):
            if flag_values[flag].present:
                raise UsageError(f"--{flag} has no effect without --exposures.")
        return None
    if not flag_values.exposures_tau_days > 0:
        raise UsageError(f"--exposures_tau_days has to be above 0. Received: {flag_values.exposures_tau_days:g}.")
    spec = parse_exposures(text, radius=flag_values.exposures_radius, tau_days=flag_values.exposures_tau_days)
    if spec.bits is None and flag_values["exposures_radius"].present:
        raise UsageError(f"--exposures_radius is for HashIDs: name their column in --exposures={text}:bits.")
    return spec
