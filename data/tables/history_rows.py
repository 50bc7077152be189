"""The histories of every staged row, taken from earlier rows, out of core."""

from __future__ import annotations

from fullrank.data.schema.features import Bits
from fullrank.data.schema.reading import History, Reading
from fullrank.data.schema.schema import Schema, SchemaError
from fullrank.data.tables.canonical import id_of_number
from fullrank.data.tables.columns import BAD
from fullrank.data.tables.list_cells import code_of_bits
from fullrank.data.tables.past_rows import add_past
from fullrank.data.tables.staged_rows import ROWS, StagedRows


def add_earlier_rows(rows: StagedRows) -> None:
    """Fills the columns that the schema takes from earlier rows, over all rows, whatever their split.

    A row remembers the last `length` good rows of the same key whose time is strictly before its own. Rows without a
    key or a time remember nothing and are not remembered.

    Raises:
      SchemaError: If a declaration names a column that the schema does not have, or the schema has no time.
    """
    for number, history in enumerate((rows.schema.reading or Reading()).histories):
        check_history(history, rows.schema)
        add_history(rows, history, name=f"history{number}")
    add_past(rows)


def add_history(rows: StagedRows, history: History, *, name: str) -> None:
    """Fills the columns of one history, in a table of that name."""
    key, time = rows.stored_as(history.key), rows.stored_as(str(rows.schema.time))
    there = f"{key} IS NOT NULL AND {time} IS NOT NULL AND {BAD} IS NULL"
    event = there if history.where is None else f"({there} AND coalesce({rows.stored_as(history.where)} = 1, FALSE))"
    codes = {feature.name for feature in rows.schema.features if isinstance(feature, Bits)}
    numbers = {column.name for column in rows.schema.columns if column.dtype == "float32"}
    taken = {}
    for each in history.lists:
        column = rows.stored_as(each.of)
        taken[each.name] = code_of_bits(column) if each.of in codes else column
        if each.of in numbers:
            taken[each.name] = id_of_number(column)
    if history.times is not None:
        taken[history.times] = time
    lists = ", ".join(
        f"list({column} ORDER BY {time}, rowid) AS l{number}" for number, column in enumerate(taken.values())
    )
    rows.connection.execute(
        f"CREATE TABLE {name}_of_keys AS SELECT {key} AS key, {lists} FROM {ROWS} WHERE {event} GROUP BY {key}"
    )
    # A range that ends one unit earlier leaves out rows with the same time.
    before = (
        f"SELECT rowid AS place, CASE WHEN {there} THEN {key} END AS key, count(*) FILTER ({event}) OVER (PARTITION BY "
        f"{key} ORDER BY {time} RANGE BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS earlier FROM {ROWS}"
    )
    cuts = ", ".join(
        f"CASE WHEN earlier > 0 THEN l{number}[greatest(earlier - {history.length}, 0) + 1 : earlier] ELSE [] END "
        f"AS l{number}"
        for number in range(len(taken))
    )
    query = (
        f"SELECT {cuts} FROM ({before}) AS given LEFT JOIN {name}_of_keys ON given.key = {name}_of_keys.key "
        "ORDER BY place"
    )
    rows.put_query_beside(name, query, instead={column: f"l{number}" for number, column in enumerate(taken)})


def check_history(history: History, schema: Schema) -> None:
    """Rejects a history that does not fit the schema.

    Raises:
      SchemaError: Naming what does not fit, and what would.
    """
    columns = {column.name: column for column in schema.columns}
    if schema.time is None:
        raise SchemaError('A history needs to know what came first: set "time" in the schema to the time column.')
    codes = {feature.name for feature in schema.features if isinstance(feature, Bits)}
    single = [c.name for c in schema.columns if (c.form == "one" or c.name in codes) and c.name not in schema.filled]
    named = [history.key, *(each.of for each in history.lists), *([] if history.where is None else [history.where])]
    for name in named:
        if name not in single:
            known = ", ".join(single)
            raise SchemaError(f"A history names {name!r}, which is not a column of single values. There are: {known}.")
    for name in history.names:
        if name not in columns or columns[name].form != "many":
            known = ", ".join(column.name for column in schema.columns if column.form == "many")
            raise SchemaError(
                f"A history fills {name!r}, which is not a column of a sequence. There are: {known or 'none'}."
            )
    for each in history.lists:
        kinds = {"int64", "float32"} if columns[each.name].dtype == "int64" else {"bytes"}
        if columns[each.of].dtype not in kinds:
            raise SchemaError(f"A history fills {each.name!r} from {each.of!r}, which is of another dtype.")
    if history.where is not None and history.where not in {label.name for label in schema.labels}:
        raise SchemaError(f"A history keeps rows where {history.where!r} is 1, which is not a label.")
