"""Writes a JSON file whole or not at all."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from fullrank.data.write_aside import write_text


def write_json(content: Any, file: Path) -> None:
    """Writes `content` with an indent of one space, in a folder that is created if it is missing.

    Raises:
      ValueError: If a number is not finite, which JSON cannot hold.
    """
    write_text(file, json.dumps(content, indent=1, allow_nan=False) + "\n")
