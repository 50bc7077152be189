r"""Turns records into a stream of clicks and of conversions that come late, and in bursts.

Usage:
  fullrank delays --input=records --label=conversion --output=events
  fullrank delays --input=records --label=conversion --output=events --law=lognormal --median_hours=12 \
      --advertiser=advertiser --burst_share=0.3 --burst_hours=24

Every row is a click; where its label is 1 a conversion follows it after a simulated delay. Advertisers that report in
bulk hold their conversions back until their next report. Clicks have the time of the schema's time column, or, without
one, times at random over --days. The same seed gives the same stream. The label stays in the rows of clicks, for
`online --late=oracle` and for evaluation at once; `--hide_label` leaves it out, as in a real stream.

The output is a directory that `fullrank online --source=` reads: files in order of time, and a marker at the end.
Records are of the block layout.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from absl import flags

from fullrank.data.command.command import new_flags, run_command
from fullrank.data.events.delay_laws import LAWS, Bursts, delay_law
from fullrank.data.schema.json import read_schema


def delays(flag_values: flags.FlagValues) -> None:
    """Runs the command with parsed flags.

    Raises:
      ValueError: If anything is wrong with flags or records.
    """
    # It loads TensorFlow, so only when the flags make sense.
    from fullrank.data.events.delayed_events import Delays, read_rows, write_delayed

    schema = read_schema(flag_values.input)
    bursts = Bursts(share=flag_values.burst_share, gap=3600.0 * flag_values.burst_hours)
    how = Delays(
        label=flag_values.label,
        advertiser=flag_values.advertiser,
        days=flag_values.days,
        hide_label=flag_values.hide_label,
        law=delay_law(
            flag_values.law,
            median=3600.0 * flag_values.median_hours,
            sigma=flag_values.sigma,
            file=Path(flag_values.delays) if flag_values.delays else None,
        ),
        spread=flag_values.spread,
        bursts=bursts if bursts.share else None,
        seed=flag_values.seed,
    )
    rows = read_rows(schema, splits=flag_values.splits)
    clicks, conversions = write_delayed(Path(flag_values.output), rows, schema=schema, how=how)
    print(f"{flag_values.output}: {clicks:,} clicks and {conversions:,} conversions.")


def run(argv: Sequence[str] | None = None) -> None:
    """Runs the command line."""
    flag_values = new_flags()
    at: dict[str, Any] = {"flag_values": flag_values}
    flags.DEFINE_string("input", None, "Directory of records.", required=True, **at)
    flags.DEFINE_string("output", None, "Directory of events to write.", required=True, **at)
    flags.DEFINE_string("label", None, "Binary label whose 1 is a conversion.", required=True, **at)
    flags.DEFINE_list("splits", ["train"], "Splits whose rows are clicks, one after the other.", **at)
    flags.DEFINE_enum("law", "exponential", list(LAWS), "Distribution of the delay.", **at)
    flags.DEFINE_float("median_hours", 6.0, "Median delay of exponential and lognormal.", 1e-6, **at)
    flags.DEFINE_float("sigma", 1.0, "Deviation of the logarithm of a lognormal delay.", 0.0, **at)
    flags.DEFINE_string("delays", None, "Text file of --law=empirical: a delay in seconds on each line.", **at)
    flags.DEFINE_float("spread", 0.0, "Deviation of the logarithm of advertisers' own factors of the delay.", 0.0, **at)
    flags.DEFINE_string("advertiser", None, "Column that says who reports a conversion.", **at)
    flags.DEFINE_float("burst_share", 0.0, "Share of the advertisers that report in bulk.", 0.0, 1.0, **at)
    flags.DEFINE_float("burst_hours", 24.0, "Mean hours between two of their reports.", 1e-6, **at)
    flags.DEFINE_float("days", 14.0, "Days of clicks where the records have no times.", 1e-6, **at)
    flags.DEFINE_bool("hide_label", False, "Leave the label out of the rows of clicks.", **at)
    flags.DEFINE_integer("seed", 0, "Seed of delays, bursts and times.", 0, **at)
    run_command(lambda: delays(flag_values), flag_values=flag_values, argv=argv, tensorflow=True)


if __name__ == "__main__":
    run()
