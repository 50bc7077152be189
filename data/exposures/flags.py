"""The flags that add columns of earlier exposures."""

from __future__ import annotations

from absl import flags

from fullrank.data.command.errors import UsageError
from fullrank.data.exposures.spec import ExposureSpec, parse_exposures


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
