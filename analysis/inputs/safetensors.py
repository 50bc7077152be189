"""Reads `.safetensors`: eight bytes with the length of a JSON header, the header, and the raw tensors.

The file is taken to be hostile: nothing is read outside it, and no size in it is believed before it has been compared.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any, Final

import numpy as np

from fullrank.analysis.embeddings.spectrum import Array
from fullrank.analysis.inputs.variables import StoredVariable

_LONGEST_HEADER: Final = 100_000_000
_DTYPES: Final[dict[str, np.dtype[Any]]] = {
    "F64": np.dtype("<f8"),
    "F32": np.dtype("<f4"),
    "F16": np.dtype("<f2"),
    "BF16": np.dtype("<u2"),
}


def read_safetensors(file: Path) -> list[StoredVariable]:
    """The tensors of floats in a file; others are left out.

    Raises:
      ValueError: If the file is not what it should be.
    """
    size = file.stat().st_size
    with open(file, "rb") as stream:
        length = int.from_bytes(stream.read(8), "little") if size >= 8 else 0
        if not 2 <= length <= min(size - 8, _LONGEST_HEADER):
            raise ValueError(
                f"{file} is not a whole .safetensors file: its header has {length} bytes, the file has {size}."
            )
        try:
            header = json.loads(stream.read(length))
        except (ValueError, RecursionError) as error:
            raise ValueError(f"{file} is not a .safetensors file: its header is no JSON ({error}).") from error
    if not isinstance(header, dict):
        raise ValueError(f"{file} is not a .safetensors file: its header is no JSON object.")
    tensors = {name: entry for name, entry in header.items() if name != "__metadata__"}
    found = [_variable(file, name, entry, 8 + length, size) for name, entry in tensors.items()]
    return [variable for variable in found if variable is not None]


def _variable(file: Path, name: str, entry: Any, data: int, size: int) -> StoredVariable | None:
    try:
        kind, shape, (begin, end) = entry["dtype"], tuple(entry["shape"]), entry["data_offsets"]
        numbers = all(type(value) is int and value >= 0 for value in (*shape, begin, end))
    except (KeyError, TypeError, ValueError):
        numbers = False
    if not numbers:
        raise ValueError(f"{file}: tensor {name!r} needs dtype, shape and data_offsets. Received: {str(entry)[:200]}.")
    if not begin <= end <= size - data:
        raise ValueError(
            f"{file}: tensor {name!r} lies at {begin} to {end}, but the file holds {size - data} bytes of tensors; "
            "it is cut off or damaged."
        )
    dtype = _DTYPES.get(kind) if isinstance(kind, str) else None
    if dtype is None:
        return None
    if math.prod(shape) * dtype.itemsize != end - begin:
        raise ValueError(f"{file}: tensor {name!r} of {kind} and shape {shape} cannot have {end - begin} bytes.")

    def read() -> Array:
        if begin == end:
            return np.zeros(shape, np.float32)
        values = np.memmap(file, dtype=dtype, mode="r", offset=data + begin, shape=shape)
        return _from_bfloat16(values) if kind == "BF16" else values

    return StoredVariable(name=name, shape=shape, read=read)


def _from_bfloat16(bits: Array) -> Array:
    """bfloat16 is the upper half of a float32."""
    wide = bits.astype(np.uint32)
    wide <<= np.uint32(16)
    return wide.view(np.float32)
