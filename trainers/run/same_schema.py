"""Checks whether records can be scored by a model that was trained on others."""

from __future__ import annotations

from collections import abc

from fullrank.data.schema.columns import Column
from fullrank.data.schema.features import Sequence
from fullrank.data.schema.schema import Schema, SchemaError


def check_same_columns(trained: Schema, given: Schema, *, columns: abc.Sequence[str]) -> None:
    """Rejects records whose columns differ from those the model was trained on.

    Statistics, vocabularies and splits may differ: the model uses those of its own run.

    Args:
      trained: Schema of the run.
      given: Schema of the records.
      columns: Names of the columns that must agree; others may be missing or different.

    Raises:
      SchemaError: If one is missing, has another type, form or length, or holds times in another unit.
    """
    ours = {column.name: column for column in trained.columns}
    theirs = {column.name: column for column in given.columns}
    place = given.directory or given.name
    for name in columns:
        if name not in theirs:
            raise SchemaError(
                f"{place} has no column {name!r}, which the model was trained with: this is data set {given.name!r}, "
                f"the run's is {trained.name!r}. Convert the records with the run's schema.json."
            )
        if ours[name] != theirs[name]:
            raise SchemaError(
                f"Column {name!r} of {place} is {_form(theirs[name])}, but the model was trained with "
                f"{_form(ours[name])}: convert the records with the run's schema.json."
            )
        if name in _times(trained) and given.time_unit != trained.time_unit:
            raise SchemaError(
                f"Column {name!r} of {place} holds times in {given.time_unit}, but the model was trained with "
                f"{trained.time_unit}: convert the records with the run's schema.json."
            )


def _times(schema: Schema) -> frozenset[str | None]:
    """The columns that hold times."""
    return frozenset({schema.time, *(f.times for f in schema.features if isinstance(f, Sequence))})


def _form(column: Column) -> str:
    many = {"one": "", "many": f", up to {column.length} values", "fixed": f", {column.length} values"}[column.form]
    return f"{column.dtype}{many}"
