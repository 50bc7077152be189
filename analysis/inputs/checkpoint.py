"""Reads the matrices of any TensorFlow checkpoint, and finds the optimiser slots of each.

Object-based checkpoints hold the full name of every variable in their object graph, regardless of the attributes that
lead to it. The slots of Keras's optimisers are variables named `<slot>/<name of the variable>`; those of older
optimisers are below the variable's own key.
"""

from __future__ import annotations

import functools
import re
from collections import Counter, defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np

from fullrank.analysis.inputs.variables import Array, StoredVariable
from fullrank.data.command.quiet_tensorflow import import_tensorflow_quietly

_VALUE: Final = "/.ATTRIBUTES/VARIABLE_VALUE"
_GRAPH: Final = "_CHECKPOINTABLE_OBJECT_GRAPH"
_DAMAGED: Final = (ValueError, RuntimeError, IndexError, TypeError)
"""Errors of TensorFlow's reader, in addition to its own types, for a file that is cut off or is something else."""
_OF_OPTIMIZER: Final = re.compile(r"(^|/)(_?optimizer|_?optimizers)(/|$)|/\.OPTIMIZER_SLOT/")


def checkpoint_prefix(path: Path) -> str | None:
    """The prefix of the checkpoint that a path names: a prefix, `.index` file or directory; `None` if there is none.

    In a directory it is the latest checkpoint, or the only one if there is no list.
    """
    import_tensorflow_quietly()
    import tensorflow as tf

    if path.is_dir():
        latest: str | None = tf.train.latest_checkpoint(str(path))
        if latest is None:
            indexes = sorted(path.glob("*.index"))
            latest = str(indexes[0].with_suffix("")) if len(indexes) == 1 else None
        return latest
    prefix = str(path).removesuffix(".index")
    return prefix if Path(f"{prefix}.index").is_file() else None


def read_checkpoint(prefix: str) -> list[StoredVariable]:
    """The float variables with two axes in a checkpoint, each with its slots; optimisers' own variables are not listed.

    Raises:
      ValueError: If it cannot be read.
    """
    import_tensorflow_quietly()
    import tensorflow as tf

    try:
        reader = tf.train.load_checkpoint(prefix)
        shapes, dtypes = reader.get_variable_to_shape_map(), reader.get_variable_to_dtype_map()
        names = _full_names(reader) if _GRAPH in shapes else {}
    except (tf.errors.OpError, *_DAMAGED) as error:
        raise ValueError(f"The checkpoint {prefix} cannot be read: {_line(error)}") from error

    def read(key: str) -> Array:
        try:
            values = np.asarray(reader.get_tensor(key))
        except (tf.errors.OpError, *_DAMAGED) as error:
            raise ValueError(f"{key} of the checkpoint {prefix} cannot be read: {_line(error)}") from error
        return values.astype(np.float32) if dtypes[key] == tf.bfloat16 else values

    floats = {key: tuple(shape) for key, shape in shapes.items() if dtypes[key].is_floating}
    slots = _slots(floats, names)
    shown = Counter(names.get(key, "") for key in floats if not _is_optimizers(key, floats))
    return [
        StoredVariable(
            name=names[key] if shown[names.get(key, "")] == 1 and names.get(key) else key.removesuffix(_VALUE),
            shape=shape,
            read=functools.partial(read, key),
            slots=tuple(
                StoredVariable(name=slot, shape=floats[slot], read=functools.partial(read, slot))
                for slot in sorted(slots[key])
                if floats[slot] in (shape, shape[:1])
            ),
        )
        for key, shape in sorted(floats.items())
        if len(shape) == 2 and not _is_optimizers(key, floats)
    ]


def read_int8(prefix: str, *, codes: str, scales: str) -> StoredVariable:
    """A matrix of int8 codes `[N, d]` whose rows are multiplied by scales `[N, 1]`, read as float32.

    Args:
      prefix: The checkpoint.
      codes: Full name of the codes.
      scales: Full name of the scales.

    Raises:
      ValueError: If it has no such variables, or cannot be read.
    """
    import_tensorflow_quietly()
    import tensorflow as tf

    try:
        reader = tf.train.load_checkpoint(prefix)
        keys = {name: key for key, name in _full_names(reader).items()}
        shapes = reader.get_variable_to_shape_map()
        shape, of_scales = (tuple(shapes[keys[name]]) for name in (codes, scales))
    except KeyError as error:
        raise ValueError(f"The checkpoint {prefix} has no variable {error}.") from error
    except (tf.errors.OpError, *_DAMAGED) as error:
        raise ValueError(f"The checkpoint {prefix} cannot be read: {_line(error)}") from error
    if len(shape) != 2 or of_scales != (shape[0], 1):
        raise ValueError(f"{scales} of the checkpoint {prefix} is {of_scales}, which does not fit {codes}, {shape}.")

    def read() -> Array:
        try:
            stored, factors = (np.asarray(reader.get_tensor(keys[name])) for name in (codes, scales))
        except (tf.errors.OpError, *_DAMAGED) as error:
            raise ValueError(f"{codes} of the checkpoint {prefix} cannot be read: {_line(error)}") from error
        values: Array = stored.astype(np.float32) * factors
        return values

    return StoredVariable(name=codes, shape=shape, read=read)


def _full_names(reader: Any) -> dict[str, str]:
    """Key -> full name of the variable."""
    from tensorflow.core.protobuf import trackable_object_graph_pb2

    graph = trackable_object_graph_pb2.TrackableObjectGraph.FromString(reader.get_tensor(_GRAPH))
    return {a.checkpoint_key: a.full_name for node in graph.nodes for a in node.attributes if a.full_name}


def _is_optimizers(key: str, keys: Mapping[str, tuple[int, ...]]) -> bool:
    # In a checkpoint without an object graph, a slot is named after its variable: `user/embedding/Adagrad`.
    return bool(_OF_OPTIMIZER.search(key)) or key.rpartition("/")[0] in keys


def _slots(floats: Mapping[str, tuple[int, ...]], names: Mapping[str, str]) -> dict[str, list[str]]:
    """Key of a variable -> keys of its slots."""
    owners = {names[key]: key for key in floats if key in names and not _is_optimizers(key, floats)}
    found: dict[str, list[str]] = defaultdict(list)
    for key in floats:
        if not _is_optimizers(key, floats):
            continue
        above = key.rpartition("/.OPTIMIZER_SLOT/")[0] or key.rpartition("/")[0]
        parts = names.get(key, "").split("/")
        # `Adam/m/user/embeddings`: the longest suffix that is the name of a variable.
        ends = ("/".join(parts[place:]) for place in range(1, len(parts)))
        owner = next((owners[end] for end in ends if end in owners), None)
        if f"{above}{_VALUE}" in floats:
            owner = f"{above}{_VALUE}"
        elif above in floats:
            owner = above
        if owner is not None:
            found[owner].append(key)
    return found


def _line(error: BaseException) -> str:
    return " ".join(str(getattr(error, "message", None) or error).split())[:300]
