"""Reads the matrices of floats in an `.npz` file; shapes come from the headers, so that nothing is read in vain."""

from __future__ import annotations

import functools
import zipfile
import zlib
from pathlib import Path
from typing import Final

import numpy as np

from fullrank.analysis.embeddings.spectrum import Array
from fullrank.analysis.inputs.variables import StoredVariable

_DAMAGED: Final = (zipfile.BadZipFile, zlib.error, EOFError, ValueError, TypeError, RuntimeError)


def read_npz(file: Path) -> list[StoredVariable]:
    """The arrays of floats in a file; others are left out.

    Raises:
      ValueError: If the file is not what it should be.
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
