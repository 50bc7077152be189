"""Writes the SavedModel: functions and the variables they read, and nothing that needs Keras or fullrank to load."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import tensorflow as tf

from fullrank.data.files.scratch import temporary_directory
from fullrank.data.schema import saved_tables as table_layout
from fullrank.data.schema.json import FILE_NAME, write_schema
from fullrank.data.schema.schema import Schema
from fullrank.models.serving.input_guide import INPUTS_ASSET, input_guide
from fullrank.models.serving.packed_inputs import PACKED_ASSET, packed_layout_json
from fullrank.models.serving.signatures import Signature


class _Servable(tf.Module):
    """The object that is saved. A Keras model itself would also save its training functions and its optimiser."""

    def __init__(self, signatures: Mapping[str, Signature], resources: list[Any], assets: list[Path]) -> None:
        super().__init__(name="servable")
        self.resources = resources
        self.assets = [tf.saved_model.Asset(str(file)) for file in assets]
        for name, signature in signatures.items():
            # Keras 3's TFSMLayer calls an attribute with a dict of tensors, but a signature it cannot call.
            setattr(self, name, signature)


def write_saved_model(
    directory: Path,
    *,
    model: tf.Module,
    signatures: Mapping[str, Signature],
    schema: Schema,
    layout: table_layout.TableLayout | None = None,
    guide: Any = None,
    more: Mapping[str, Any] | None = None,
) -> None:
    """Writes a SavedModel; its assets are the schema, what each input is, and the layouts of packed inputs and tables.

    Args:
      directory: Where to; it need not exist.
      model: Owns the variables and look-up tables that the signatures read.
      signatures: Name -> function.
      schema: The model's schema.
      layout: Where the model keeps its tables; not written if `None`.
      guide: What each input is, if it is not one for each column that the model reads; nothing is packed then.
      more: Name of a further asset -> its JSON values.
    """
    with temporary_directory("assets") as temporary:
        described: dict[str, Any] = {INPUTS_ASSET: input_guide(schema) if guide is None else guide}
        if guide is None:
            described[PACKED_ASSET] = packed_layout_json(schema)
        if layout is not None:
            described[table_layout.FILE_NAME] = table_layout.layout_json(layout)
        described |= more or {}
        assets = [write_schema(schema, temporary / FILE_NAME)]
        for name, value in described.items():
            assets.append(temporary / name)
            assets[-1].write_text(json.dumps(value, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        concrete = {name: signature.get_concrete_function() for name, signature in signatures.items()}  # type: ignore[attr-defined]
        called = {name: _calling(each, signatures[name]) for name, each in concrete.items()}
        servable = _Servable(called, _captured(model, list(concrete.values())), assets)
        tf.saved_model.save(servable, str(directory), signatures=concrete)


def _calling(concrete: Any, signature: Any) -> Signature:
    """A function that calls what a signature was traced to: saving traces each function of an object once more."""
    called: Signature = tf.function(concrete, input_signature=signature.input_signature, autograph=False)
    return called


def _captured(model: tf.Module, functions: list[Any]) -> list[Any]:
    """The variables and tables of the model that the functions read; optimiser slots and metrics stay out."""
    read = {id(tensor) for function in functions for tensor in function.captured_inputs}
    found: dict[int, Any] = {}
    for item in tf.train.TrackableView(model).descendants():
        if isinstance(item, tf.Variable) and id(item.handle) in read:
            found.setdefault(id(item.handle), item)
        elif isinstance(item, tf.saved_model.experimental.TrackableResource) and id(item.resource_handle) in read:
            found.setdefault(id(item.resource_handle), item)
    return list(found.values())
