"""The folder a user keeps a data set in, for sets that are not fetched."""

from __future__ import annotations

from pathlib import Path


def required(raw_dir: Path | None, *, dataset: str, holds: str) -> Path:
    """`raw_dir`, or an error that says what belongs in it.

    Args:
      raw_dir: What the user gave.
      dataset: Name of the data set.
      holds: The files it must hold and where they come from.

    Raises:
      ValueError: If none was given.
      NotADirectoryError: If it is not a folder.
    """
    if raw_dir is None:
        raise ValueError(
            f"{dataset} is not fetched: give --raw_dir=DIR with {holds}; --dataset=synthetic needs no files."
        )
    if not raw_dir.is_dir():
        raise NotADirectoryError(f"{dataset}: --raw_dir={raw_dir} is not a folder.")
    return raw_dir
