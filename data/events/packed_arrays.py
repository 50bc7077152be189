"""Named arrays as bytes, without pickle: numbers as in npz, byte strings as their lengths and their contents."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import numpy.typing as npt

_LENGTHS: Final = ".lengths"
_SHAPE: Final = ".shape"
_CONTENT: Final = ".content"


def pack(arrays: Mapping[str, npt.NDArray[Any]]) -> bytes:
    """The arrays as bytes; arrays of objects hold byte strings."""
    parts: dict[str, npt.NDArray[Any]] = {}
    for name, values in arrays.items():
        if values.dtype != object:
            parts[name] = values
            continue
        strings = values.reshape(-1).tolist()
        parts[name + _LENGTHS] = np.array([len(each) for each in strings], np.int64)
        parts[name + _CONTENT] = np.frombuffer(b"".join(strings), np.uint8)
        parts[name + _SHAPE] = np.array(values.shape, np.int64)
    content = io.BytesIO()
    np.savez(content, **parts)  # type: ignore[arg-type]  # its stub reserves the keyword allow_pickle
    return content.getvalue()


def unpack(content: bytes) -> dict[str, npt.NDArray[Any]]:
    """The arrays of `pack`."""
    with np.load(io.BytesIO(content), allow_pickle=False) as parts:
        found = {name: parts[name] for name in parts.files}
    arrays: dict[str, npt.NDArray[Any]] = {}
    for name, values in found.items():
        if name.endswith(_LENGTHS):
            own = name.removesuffix(_LENGTHS)
            arrays[own] = _strings(values, found[own + _CONTENT].tobytes(), found[own + _SHAPE])
        elif not name.endswith((_CONTENT, _SHAPE)):
            arrays[name] = values
    return arrays


def _strings(lengths: npt.NDArray[Any], content: bytes, shape: npt.NDArray[Any]) -> npt.NDArray[Any]:
    ends = np.cumsum(lengths).tolist()
    strings = np.empty(len(ends), object)
    for place, (end, length) in enumerate(zip(ends, lengths.tolist(), strict=True)):
        strings[place] = content[end - length : end]
    return strings.reshape(shape)


def nested(parts: Mapping[str, Mapping[str, npt.NDArray[Any]]]) -> dict[str, npt.NDArray[Any]]:
    """Several mappings of arrays as one, with `part:` before each name."""
    return {f"{part}:{name}": values for part, arrays in parts.items() for name, values in arrays.items()}


def part_of_nested(arrays: Mapping[str, npt.NDArray[Any]], part: str) -> dict[str, npt.NDArray[Any]]:
    """One of the mappings that were given to `nested`."""
    start = f"{part}:"
    return {name.removeprefix(start): values for name, values in arrays.items() if name.startswith(start)}
