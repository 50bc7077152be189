"""Writes a JSON file whole or not at all."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any


def write_json(content: Any, file: Path) -> None:
    """Writes `content` with an indent of one space, in a folder that is created if it is missing.

    Raises:
      ValueError: If a number is not finite, which JSON cannot hold.
    """
    text = json.dumps(content, indent=1, allow_nan=False) + "\n"
    file.parent.mkdir(parents=True, exist_ok=True)
    aside = file.with_name(f"{file.name}.writing-{os.getpid()}")
    try:
        aside.write_text(text, encoding="utf-8")
        os.replace(aside, file)
    finally:
        aside.unlink(missing_ok=True)
