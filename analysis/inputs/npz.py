"""Reads the float matrices in `.npz` and `.safetensors` files; shapes come from their headers.

A `.safetensors` file is eight bytes with the length of a JSON header, the header, and the raw tensors. Both are
untrusted: nothing is read outside the file, and every size in it is checked before it is used.
"""

from __future__ import annotations

import functools
import json
import math
import zipfile
import zlib
from pathlib import Path
from typing import Any, Final

import numpy as np

from fullrank.analysis.inputs.variables import Array, StoredVariable

_DAMAGED: Final = (zipfile.BadZipFile, zlib.error, EOFError, ValueError, TypeError, RuntimeError)


_LONGEST_HEADER: Final = 100_000_000
_DTYPES: Final[dict[str, np.dtype[Any]]] = {
    "F64": np.dtype("<f8"),
    "F32": np.dtype("<f4"),
    "F16": np.dtype("<f2"),
    "BF16": np.dtype("<u2"),
}


def read_npz(file: Path) -> list[StoredVariable]:
    """The float arrays in a file; others are left out.

    Raises:
      ValueError: If the file is damaged or of another kind.
    """
    found = []
    try:
        with zipfile.ZipFile(file) as archive:
            for member in archive.namelist():
                if member.endswith(".npy"):
                    shape, dtype = _header(archive, member)
                    if dtype.kind == "f":
                        name = member.removesuffix(".npy")
                        found.append(
                            StoredVariable(name=name, shape=shape, read=functools.partial(read_array, file, name))
                        )
    except _DAMAGED as error:
        raise ValueError(f"{file} is not an .npz file, or is damaged: {error}") from error
    return found


def read_array(file: Path, name: str) -> Array:
    """One array of a file.

    Raises:
      ValueError: If it cannot be read.
    """
    try:
        with np.load(file, allow_pickle=False) as arrays:
            values: Array = arrays[name]
    except _DAMAGED as error:
        raise ValueError(f"{file}: array {name!r} cannot be read: {error}") from error
    return values


def _header(archive: zipfile.ZipFile, member: str) -> tuple[tuple[int, ...], np.dtype[np.generic]]:
    with archive.open(member) as stream:
        version = np.lib.format.read_magic(stream)
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, _, dtype = read(stream)
    return shape, dtype


def read_arrays(file: Path) -> dict[str, Array]:
    """Every array of a file, by name.

    Raises:
      ValueError: If it cannot be read.
    """
    try:
        with np.load(file, allow_pickle=False) as arrays:
            return dict(arrays)
    except _DAMAGED as error:
        raise ValueError(f"{file} is not an .npz file, or is damaged: {error}") from error


def read_safetensors(file: Path) -> list[StoredVariable]:
    """The float tensors in a file; others are left out.

    Raises:
      ValueError: If the file is damaged or of another kind.
    """
    size = file.stat().st_size
    with open(file, "rb") as stream:
        length = int.from_bytes(stream.read(8), "little") if size >= 8 else 0
        if not 2 <= length <= min(size - 8, _LONGEST_HEADER):
            raise ValueError(
                f"{file} is not a complete .safetensors file: its header has {length} bytes, the file has {size}."
            )
        try:
            header = json.loads(stream.read(length))
        except (ValueError, RecursionError) as error:
            raise ValueError(f"{file} is not a .safetensors file: its header is not JSON ({error}).") from error
    if not isinstance(header, dict):
        raise ValueError(f"{file} is not a .safetensors file: its header is not a JSON object.")
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
