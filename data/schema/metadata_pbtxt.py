"""`schema.pbtxt` of TensorFlow Metadata, as TFDV and TFX write it: read as hints for `infer`, written from a schema.

The text format of protocol buffers depends on names only, so the few fields that are used are declared here, and
`tensorflow-metadata`, which constrains the version of protobuf, is not needed. Other fields are skipped.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final, NamedTuple

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, text_format

from fullrank.data.files.write_aside import write_text
from fullrank.data.schema.features import Sequence
from fullrank.data.schema.schema import Schema

_PACKAGE: Final = "fullrank.metadata"
_KINDS: Final = ("TYPE_UNKNOWN", "BYTES", "INT", "FLOAT", "STRUCT")
_KIND_OF: Final = {"bytes": 1, "int64": 2, "float32": 3}
_FIELDS: Final = {
    "Schema": {"feature": "Feature*", "default_environment": "STRING*"},
    "Feature": {
        **{"name": "STRING", "deprecated": "BOOL", "type": "Kind", "not_in_environment": "STRING*"},
        **{"shape": "FixedShape", "value_count": "ValueCount", "int_domain": "IntDomain"},
    },
    "FixedShape": {"dim": "Dim*"},
    "Dim": {"size": "INT64"},
    "ValueCount": {"min": "INT64", "max": "INT64"},
    "IntDomain": {"is_categorical": "BOOL"},
}
"""Message -> field -> its type; * if there may be several."""


class Hints(NamedTuple):
    """The columns that a file describes as ids, as amounts, or as deprecated."""

    sparse: frozenset[str]
    numeric: frozenset[str]
    ignore: frozenset[str]


def read_metadata(file: Path) -> Hints:
    """Reads `schema.pbtxt`.

    Text, and whole numbers of a categorical domain, are ids; a single real number is an amount. The file says too
    little about other whole numbers and about lists to decide.

    Raises:
      ValueError: If it is not such a file.
    """
    message = _new_schema()
    try:
        text_format.Parse(file.read_text(encoding="utf-8"), message, allow_unknown_field=True)
    except (text_format.ParseError, UnicodeDecodeError) as error:
        raise ValueError(f"{file} is not a schema.pbtxt of TensorFlow Metadata: {error}") from error
    found: dict[str, list[str]] = {"sparse": [], "numeric": [], "ignore": []}
    for feature in message.feature:
        single = feature.value_count.max <= 1 and all(dim.size == 1 for dim in feature.shape.dim)
        kind = _KINDS[feature.type]
        if feature.deprecated:
            found["ignore"].append(feature.name)
        elif kind == "BYTES" or (kind == "INT" and feature.int_domain.is_categorical):
            found["sparse"].append(feature.name)
        elif kind == "FLOAT" and single:
            found["numeric"].append(feature.name)
    return Hints(**{name: frozenset(columns) for name, columns in found.items()})


def write_metadata(schema: Schema, file: Path) -> None:
    """Writes the columns of a schema; those that no model reads are not in the environment `SERVING`."""
    message = _new_schema()
    message.default_environment.extend(["TRAINING", "SERVING"])
    read = {column.name for column in schema.input_columns}
    sequences = [feature for feature in schema.features if isinstance(feature, Sequence)]
    ids = {name for sequence in sequences for name in sequence.names}
    ids |= {each.name for each in (*schema.features, *schema.keys, *schema.segments)}
    for column in schema.columns:
        feature = message.feature.add(name=column.name, type=_KIND_OF[column.dtype])
        if column.form == "fixed":
            feature.shape.dim.add(size=column.length)
        else:
            feature.value_count.max = column.length
        if column.dtype == "int64" and column.form != "fixed" and column.name in ids:
            feature.int_domain.is_categorical = True
        if column.name not in read:
            feature.not_in_environment.append("SERVING")
    write_text(file, text_format.MessageToString(message))


def _new_schema() -> Any:
    file = descriptor_pb2.FileDescriptorProto(name="fullrank_metadata.proto", package=_PACKAGE)
    kinds = file.enum_type.add(name="Kind")
    for number, kind in enumerate(_KINDS):
        kinds.value.add(name=kind, number=number)
    field_of = descriptor_pb2.FieldDescriptorProto
    for name, fields in _FIELDS.items():
        message = file.message_type.add(name=name)
        for number, (field, declared) in enumerate(fields.items(), start=1):
            kind = declared.rstrip("*")
            label = field_of.LABEL_OPTIONAL if kind == declared else field_of.LABEL_REPEATED
            added = message.field.add(name=field, number=number, label=label)
            if kind in _FIELDS or kind == "Kind":
                added.type = field_of.TYPE_MESSAGE if kind in _FIELDS else field_of.TYPE_ENUM
                added.type_name = f".{_PACKAGE}.{kind}"
            else:
                added.type = getattr(field_of, f"TYPE_{kind}")
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{_PACKAGE}.Schema"))()
