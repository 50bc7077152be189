"""Operations of a served model that tf2onnx does not convert, or not exactly, by their ONNX equivalents."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import numpy as np
import tensorflow as tf

from fullrank.models.encoding.id_rows import UNKNOWN_ROW, text_codes
from fullrank.models.ranker import Ranker

Handler = Callable[[Any, Any, str, Any], None]
"""Changes one node of tf2onnx's graph: from graph, node, its name and arguments."""

_ML: Final = "ai.onnx.ml"
_NO_TEXT: Final = -1
"""The code of a text outside all vocabularies; codes of known texts are not negative."""


def handlers(model: Ranker, onnx: Any) -> dict[str, tuple[Handler, list[str]]]:
    """TensorFlow's operation -> what replaces it, as tf2onnx takes them.

    * A look-up in the table of known ids is a `LabelEncoder` from keys to rows.
    * The fingerprint of a text is a `LabelEncoder` from the known texts to their fingerprints: a text outside the
      vocabularies has no row, whatever its fingerprint.
    * `Bitcast` between int64 and uint64 is a `Cast`, `FloorMod` of whole numbers is `Mod` (tf2onnx truncates), and a
      comparison of texts with a constant is a `LabelEncoder` too.

    Args:
      model: Ready for serving, without hashed texts.
      onnx: The module.

    Raises:
      ValueError: If a known text is not UTF-8.
    """
    types = onnx.TensorProto
    found: dict[str, tuple[Handler, list[str]]] = {"Bitcast": (_cast, ["Cast"]), "FloorMod": (_mod, ["Mod"])}

    def encoded(graph: Any, source: str, shape: Any, *, attributes: dict[str, Any], **kept: Any) -> Any:
        return graph.make_node(
            "LabelEncoder", [source], domain=_ML, attr=attributes, shapes=[shape], dtypes=[types.INT64], **kept
        )

    def replaced(source: int, attributes: dict[str, Any]) -> Handler:
        def replace(graph: Any, node: Any, name: str, arguments: Any) -> None:
            given, outputs, shape = node.input[source], list(node.output), graph.get_shape(node.output[0])
            graph.remove_node(name)
            encoded(graph, given, shape, attributes=attributes, name=name, outputs=outputs)

        return replace

    def equal(graph: Any, node: Any, name: str, arguments: Any) -> None:
        if graph.get_dtype(node.input[0]) != types.STRING:
            return
        constant = next(given for given in node.inputs if given.is_const())
        source = next(i for i, given in zip(node.input, node.inputs, strict=True) if given is not constant)
        outputs, shape, text = list(node.output), graph.get_shape(node.output[0]), constant.get_tensor_value()
        graph.remove_node(name)
        attributes = {"keys_strings": [text], "values_int64s": [1], "default_int64": 0}
        is_text = encoded(graph, source, shape, attributes=attributes)
        graph.make_node(
            "Cast",
            is_text.output,
            name=name,
            outputs=outputs,
            attr={"to": types.BOOL},
            shapes=[shape],
            dtypes=[types.BOOL],
        )

    found["Equal"] = (equal, ["Equal"])
    known = model.trunk.encoder.known_ids
    if known is not None:
        keys, rows = (part.numpy().tolist() for part in known.export())
        attributes = {"keys_int64s": keys, "values_int64s": rows, "default_int64": UNKNOWN_ROW}
        found["LookupTableFindV2"] = (replaced(1, attributes), ["LookupTableFindV2"])
        texts = _known_texts(model)
        if texts:
            codes = text_codes(tf.constant(texts)).numpy().tolist()
            attributes = {"keys_strings": texts, "values_int64s": codes, "default_int64": _NO_TEXT}
            found["StringToHashBucketFast"] = (replaced(0, attributes), ["StringToHashBucketFast"])
    return found


def _known_texts(model: Ranker) -> list[bytes]:
    texts: dict[bytes, None] = {}
    for feature, ids in model.vocabularies.items():
        if np.asarray(ids).dtype == object:
            for text in ids.tolist():
                try:
                    text.decode()
                except UnicodeDecodeError:
                    raise ValueError(
                        f"--format=onnx: feature {feature!r} has the id {text!r}, which is not UTF-8, as texts in ONNX "
                        "are. Take --format=saved_model."
                    ) from None
                texts[text] = None
    return list(texts)


def _cast(graph: Any, node: Any, name: str, arguments: Any) -> None:
    for attribute in list(node.attr):
        del node.attr[attribute]
    node.set_attr("to", graph.get_dtype(node.output[0]))


def _mod(graph: Any, node: Any, name: str, arguments: Any) -> None:
    for attribute in list(node.attr):
        del node.attr[attribute]
