"""The columns of a query, which several models read and a request holds once."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import tensorflow as tf

from fullrank.data.schema.columns import Column
from fullrank.data.schema.schema import Schema, SchemaError
from fullrank.models.encoding.missing_batch import missing_batch
from fullrank.models.retrieval.sides import ad_columns
from fullrank.models.serving.request_inputs import input_name, input_specs, to_batch


class QueryInputs:
    """What a request says of its query, and how each model reads it.

    Args:
      schemas: Where a model comes from, for messages -> its schema. A column that several models read has to be the
        same in all of them, and on the same side.
      reserved: Names of further inputs, which no column may have.

    Raises:
      SchemaError: If models disagree about a column, or a column has a reserved name.
    """

    def __init__(self, schemas: Mapping[str, Schema], *, reserved: Collection[str] = ()) -> None:
        found: dict[str, tuple[Column, bool, str]] = {}
        self.specs: dict[str, tf.TensorSpec] = {}
        for place, schema in schemas.items():
            ads, specs = ad_columns(schema), input_specs(schema)
            for column in schema.input_columns:
                name, is_ad = input_name(column.name), column in ads
                known, was_ad, before = found.setdefault(name, (column, is_ad, place))
                if known != column:
                    raise SchemaError(
                        f"{place} reads column {column.name!r} as {_form(column)}, but {before} reads "
                        f"{known.name!r} as {_form(known)}: train all stages on the same records."
                    )
                if was_ad != is_ad:
                    raise SchemaError(
                        f"Column {column.name!r} is of the ad side for {place if is_ad else before} and not for "
                        f"{before if is_ad else place}: train all stages with the same schema."
                    )
                if name in reserved and not is_ad:
                    raise SchemaError(f"{name!r} is an input of a signature: rename the column {column.name!r}.")
                if not is_ad:
                    self.specs[name] = specs[name]
        self.columns = tuple(column for column, is_ad, _ in found.values() if not is_ad)

    def batch(self, inputs: Mapping[str, tf.Tensor], *, schema: Schema) -> dict[str, tf.Tensor]:
        """The inputs of a request as a batch of one of the models; the ad is missing."""
        size = tf.shape(inputs[input_name(self.columns[0].name)])[0]
        missing = missing_batch(ad_columns(schema), size)
        given = {
            input_name(column.name): inputs[input_name(column.name)]
            for column in schema.input_columns
            if column.name not in missing
        }
        return to_batch({**given, **{input_name(name): value for name, value in missing.items()}}, schema=schema)


def _form(column: Column) -> str:
    return f"{column.dtype} of form {column.form!r}, length {column.length}"
