"""Writes docs/schema.md and docs/schema.schema.json from the classes that read a schema, or checks them.

Usage: `schema_reference.py --write` or `schema_reference.py --check`.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from fullrank.data.schema.reference import json_schema, markdown
from sources import ROOT


def pages() -> dict[str, str]:
    """File below docs -> what it must hold."""
    return {
        "schema.md": markdown(),
        "schema.schema.json": json.dumps(json_schema(), indent=2, ensure_ascii=False) + "\n",
    }


def main(root: Path, arguments: list[str]) -> int:
    """Writes or checks the files; returns the exit code."""
    if arguments not in (["--write"], ["--check"]):
        print("usage: schema_reference.py --write | --check", file=sys.stderr)
        return 2
    stale = []
    for name, text in pages().items():
        file = root / "docs" / name
        if arguments == ["--write"]:
            file.write_text(text, encoding="utf-8")
        elif not file.is_file() or file.read_text(encoding="utf-8") != text:
            stale.append(f"docs/{name}")
    if stale:
        print(f"stale: {', '.join(stale)}; run `make schema-page`", file=sys.stderr)
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main(ROOT, sys.argv[1:]))
