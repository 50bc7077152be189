"""Resolves requirements.lock: the newest versions that setup.py allows, for every supported Python.

The environment variable UV names the resolver. Its output is written without the parts that hold for every line (the
platform and the upper bound on Python), and without the address of any index.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from sources import ROOT

HEADER = (
    "# The exact versions of a development environment, for Python 3.11 to 3.13 on Linux. "
    "Written by `make lock`; do not edit.\n"
)
_EVERYWHERE = re.compile(r"python_full_version < '3\.14'|sys_platform == 'linux'")


def shorten(line: str) -> str:
    """Takes the conditions that always hold out of `name==1.0 ; first and second`."""
    pin, _, marker = line.partition(" ; ")
    conditions = [part for part in marker.split(" and ") if part and not _EVERYWHERE.fullmatch(part)]
    return " ; ".join([pin, " and ".join(conditions)] if conditions else [pin])


def resolve(root: Path) -> str:
    """The text of the new lock file."""
    command = [os.environ.get("UV", "uv"), "pip", "compile", "--universal", "--python-version=3.11", "--extra=dev"]
    quiet = ["--quiet", "--no-annotate", "--no-header", "--no-emit-index-url", "--upgrade"]
    run = subprocess.run([*command, *quiet, "setup.py"], cwd=root, stdout=subprocess.PIPE, text=True, check=True)
    return HEADER + "".join(f"{shorten(line)}\n" for line in run.stdout.splitlines())


if __name__ == "__main__":
    text = resolve(ROOT)
    if "http" in text:
        sys.exit("the resolved file names an address; requirements.lock was not changed")
    (ROOT / "requirements.lock").write_text(text, encoding="utf-8")
