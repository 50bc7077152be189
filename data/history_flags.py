"""The flags of infer that declare what is taken from earlier rows of the log: histories, counts and rates."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Collection
from typing import Any, Final, Literal, cast

from absl import flags

from fullrank.data.command_errors import UsageError
from fullrank.data.features import Feature, Numeric, Sequence, Sparse
from fullrank.data.past_rows import check_past
from fullrank.data.reading import Along, History, Past, Reading
from fullrank.data.schema import Schema
from fullrank.data.suggest import closest

_PAST: Final = re.compile(
    r"\s*(?P<name>[^=]*[^=\s])\s*=\s*(?P<aggregate>count|sum|mean|last)\s*\(\s*(?P<of>[^(),]*?)\s*"
    r"(?:,\s*(?P<smoothing>[0-9]*\.?[0-9]+)\s*)?\)\s*(?:\bby\s+(?P<by>.+))?"
)


def define_history_flags(flag_values: flags.FlagValues) -> None:
    """Defines --history and its companions, and --past."""
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
    flags.DEFINE_multi_string(
        "past",
        None,
        "A number of earlier rows of the log, strictly before each row, as a feature that convert fills in: "
        "'user_rate=mean(click) by user_id', 'seen=count() by user_id, item_id', 'clicks=sum(click)' of all rows, "
        "'last_rating=last(rating) by user_id'; mean(click, 5) adds 5 rows at the rate of all earlier rows. May be "
        "repeated.",
        **at,
    )


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


def with_past(schema: Schema, flag_values: flags.FlagValues, *, numbers: Collection[str]) -> Schema:
    """The schema with the features and the declarations that --past asks for.

    Args:
      schema: Without them.
      flag_values: Parsed.
      numbers: Columns of the table that hold single numbers. Those that the schema leaves out become extras, where they
        are asked for: of earlier rows, but no inputs.

    Raises:
      UsageError: If a flag cannot be understood, or names what there is not.
    """
    for text in flag_values.past or []:
        found = _PAST.fullmatch(text)
        try:
            if found is None:
                raise ValueError("it is written as user_rate=mean(click) by user_id, with count, sum, mean or last.")
            past = Past(
                name=found["name"],
                aggregate=cast(Literal["count", "sum", "mean", "last"], found["aggregate"]),
                of=found["of"] or None,
                by=tuple(name.strip() for name in (found["by"] or "").split(",") if name.strip()),
                smoothing=float(found["smoothing"] or 0),
            )
            schema = _with(past, schema, numbers)
        except ValueError as error:
            raise UsageError(f"--past={text}: {error}") from error
    return schema


def _with(past: Past, schema: Schema, numbers: Collection[str]) -> Schema:
    columns = {column.name: column for column in schema.columns}
    if past.name in columns or past.name in {feature.name for feature in schema.features}:
        raise ValueError(f"there is a column {past.name!r} already: take another name.")
    if past.of is not None and past.of in numbers and past.of not in columns:
        schema = dataclasses.replace(schema, extras=(*schema.extras, past.of))
    sides = {feature.side for feature in schema.features if feature.name in past.by}
    side = sides.pop() if len(sides) == 1 else "context"
    feature: Feature = Numeric(name=past.name, side=side)
    dtype = columns[past.of].dtype if past.aggregate == "last" and past.of in columns else "float32"
    if dtype != "float32":
        owner = next((f for f in schema.features if isinstance(f, Sparse) and f.name == past.of), None)
        table = None if owner is None else owner.table or owner.name
        feature = Sparse(name=past.name, side=side, dtype=dtype, table=table)
    reading = schema.reading or Reading()
    reading = dataclasses.replace(reading, past=(*reading.past, past))
    schema = dataclasses.replace(schema, features=(*schema.features, feature), reading=reading)
    check_past(past, schema)
    return schema
