"""The flags of infer that declare a history taken from the log itself."""

from __future__ import annotations

import dataclasses
from typing import Any

from absl import flags

from fullrank.data.command_errors import UsageError
from fullrank.data.features import Along, History, Reading, Sequence, Sparse
from fullrank.data.schema import Schema
from fullrank.data.suggest import closest


def define_history_flags(flag_values: flags.FlagValues) -> None:
    """Defines --history and its companions."""
    at: dict[str, Any] = {"flag_values": flag_values}
    flags.DEFINE_string(
        "history",
        None,
        "A history of earlier rows of the log, as user_id:item_id or user_id:item_id,genre: adds a sequence of those "
        "ids and their times, strictly before each row, which convert fills in.",
        **at,
    )
    flags.DEFINE_string("history_where", None, "Label that a row has to have as 1 to be in the history.", **at)
    flags.DEFINE_integer("history_length", 50, "Most recent rows in the history.", lower_bound=1, **at)


def with_history(schema: Schema, flag_values: flags.FlagValues) -> Schema:
    """The schema with the sequence and the declaration that the flags ask for.

    Raises:
      UsageError: If the flags name what the schema does not have.
    """
    text = flag_values.history
    if text is None:
        if flag_values["history_where"].present or flag_values["history_length"].present:
            raise UsageError("--history_where and --history_length go with --history.")
        return schema
    key, _, rest = text.partition(":")
    names = [name.strip() for name in rest.split(",") if name.strip()]
    if not key or not names:
        raise UsageError(f"--history takes user_id:item_id, or user_id:item_id,genre. Received: {text!r}.")
    if schema.time is None:
        raise UsageError("--history needs to know what came first: name the time column by --time.")
    known = [f.name for f in schema.features if isinstance(f, Sparse) and f.max_values == 1 and f.table is None]
    singles = [column.name for column in schema.columns if column.form == "one"]
    for name, among in ((key, singles), *((name, known) for name in names)):
        if name not in among:
            near = closest(name, among)
            hint = f"Did you mean {near!r}?" if near else f"There are: {', '.join(among)}."
            raise UsageError(f"--history={text}: {name!r} is no sparse feature of single ids. {hint}")
    labels = [label.name for label in schema.labels]
    if flag_values.history_where is not None and flag_values.history_where not in labels:
        raise UsageError(f"--history_where={flag_values.history_where} is no label.")
    lists = tuple(Along(name=f"history_{name}", of=name) for name in names)
    times, length = "history_time", flag_values.history_length
    taken = {column.name for column in schema.columns} | {feature.name for feature in schema.features}
    clash = [name for name in ("history", times, *(each.name for each in lists)) if name in taken]
    if clash:
        raise UsageError(f"--history adds {clash[0]!r}, which is there already: leave it out by --ignore={clash[0]}.")
    sequence = Sequence(
        name="history", ids=tuple((each.name, each.of) for each in lists), times=times, max_length=length
    )
    history = History(key=key, lists=lists, times=times, where=flag_values.history_where, length=length)
    reading = schema.reading or Reading()
    reading = dataclasses.replace(reading, histories=(*reading.histories, history))
    return dataclasses.replace(schema, features=(*schema.features, sequence), reading=reading)
