"""MovieLens 100K from the wheel of RecBole 1.2.1, fetched by the user's own pip and kept in the user's cache.

The owner's licence forbids redistribution, so fullrank ships none of it. pip uses the index that it is configured for;
the three files are then checked against their digests, so that everyone trains on the same bytes.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Final

from fullrank.data.files.scratch import temporary_directory
from fullrank.data.files.write_aside import file_aside

WHEEL: Final = "recbole==1.2.1"
FOLDER: Final = "recbole/dataset_example/ml-100k/"
DIGESTS: Final = {
    "ml-100k.inter": "4edb74e2a81178c2ba9ff381495f754f996c4aea351b1272ca36b43da0935eff",
    "ml-100k.item": "51d7cdf777ce5c0f5b32c1d947a4a81fe07d75e78abbe761e0cd4d0756064532",
    "ml-100k.user": "4f670007d9cfbeb9807e757209af1555b9bcc186bde25e767f67cb67c6dd5972",
}
TIMEOUT_SECONDS: Final = 180


class UnreachableError(ValueError):
    """A data set that could not be fetched; the message says what to do instead."""


def cache_directory() -> Path:
    """`$XDG_CACHE_HOME/fullrank`, or `~/.cache/fullrank`."""
    named = os.environ.get("XDG_CACHE_HOME")
    return (Path(named) if named else Path.home() / ".cache") / "fullrank"


def movielens_directory() -> Path:
    """The folder with the three files, fetched unless an earlier run has left them in the cache.

    Raises:
      UnreachableError: If pip cannot fetch the wheel or it does not hold the expected files.
    """
    directory = cache_directory() / "ml-100k"
    if all((directory / name).is_file() for name in DIGESTS):
        return directory
    with temporary_directory("wheel") as scratch:
        wheel = _download(scratch)
        contents = _read(wheel)
    _store(contents, directory)
    return directory


def _download(directory: Path) -> Path:
    print(f"Fetching MovieLens 100K: pip download {WHEEL} (2 MB)", file=sys.stderr, flush=True)
    command = [sys.executable, "-m", "pip", "download", WHEEL, "--no-deps", "--only-binary=:all:", "--no-input"]
    command += ["--quiet", "--disable-pip-version-check", "--dest", str(directory)]
    try:
        # The arguments are constants of this module; nothing of the user's reaches them.
        done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_SECONDS, check=False)  # noqa: S603
    except subprocess.TimeoutExpired as error:
        raise _unreachable(f"pip did not answer within {TIMEOUT_SECONDS} seconds") from error
    wheels = sorted(directory.glob("*.whl"))
    if done.returncode or not wheels:
        lines = [line for line in done.stderr.splitlines() if line.strip()] or ["pip gave no reason"]
        errors = [line for line in lines if line.startswith("ERROR")] or lines
        raise _unreachable(errors[-1].removeprefix("ERROR: ").rstrip("."))
    return wheels[0]


def _read(wheel: Path) -> dict[str, bytes]:
    contents = {}
    try:
        with zipfile.ZipFile(wheel) as archive:
            for name in DIGESTS:
                contents[name] = archive.read(FOLDER + name)
    except (zipfile.BadZipFile, KeyError) as error:
        raise _unreachable(f"{wheel.name} does not hold {FOLDER}") from error
    for name, digest in DIGESTS.items():
        if hashlib.sha256(contents[name]).hexdigest() != digest:
            raise _unreachable(f"{name} in {wheel.name} is not the file that {WHEEL} was published with")
    return contents


def _store(contents: dict[str, bytes], directory: Path) -> None:
    for name, content in contents.items():
        with file_aside(directory / name) as aside:
            aside.write_bytes(content)


def _unreachable(reason: str) -> UnreachableError:
    return UnreachableError(
        f"movielens could not be fetched ({reason}). Give --raw_dir=DIR with u.data, u.item and u.user of MovieLens "
        "100K (from grouplens.org) or RecBole's ml-100k.inter, .item and .user; or use --dataset=synthetic, which "
        "needs no download."
    )
