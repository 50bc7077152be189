"""Lays out the pages of `make docs` in build/docs-pages and builds the site in build/docs; a warning is an error.

Pages are the Markdown files below docs, README.md (the start page), CONTRIBUTING.md and CHANGELOG.md, which all read
well on a code host, too. There, a link to a source file opens that file; the site has a page of its own for every file
that is linked, so that it works without a network.

Usage: `build_site.py`, or `build_site.py --lay-out` for the pages alone.
"""

from __future__ import annotations

import os
import posixpath
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import api_pages
import typing_farm
from sources import ROOT

TOP_PAGES = {"README.md": "index.md", "CONTRIBUTING.md": "CONTRIBUTING.md", "CHANGELOG.md": "CHANGELOG.md"}
# What is not fenced code: links are rewritten in it.
_FENCE = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"(?<=\]\()([^)\s]+)(?=\))")
_LANGUAGES = {".py": "python", ".json": "json", ".toml": "toml", ".yml": "yaml"}


class Pages:
    """The pages of the site: where each file of the repository lies in it.

    Args:
      root: The source tree.
      texts: File below docs -> its text, for the generated files.
    """

    def __init__(self, root: Path, texts: Mapping[str, str]) -> None:
        self._root = root
        self._texts = texts
        self._sources: set[str] = set()

    def lay_out(self, target: Path) -> None:
        """Writes all pages below `target`, which is replaced.

        Raises:
          ValueError: If a link of a page leads to a file that the repository does not have.
        """
        shutil.rmtree(target, ignore_errors=True)
        shutil.copytree(self._root / "docs", target)
        kept = {path.relative_to(self._root).as_posix() for path in (self._root / "docs").rglob("*.md")}
        made = {f"docs/{name}" for name in self._texts}
        for page in [*TOP_PAGES, *sorted(kept | made)]:
            name = page.removeprefix("docs/")
            text = self._texts[name] if name in self._texts else (self._root / page).read_text(encoding="utf-8")
            self._write(target, self.place(page), self._with_links(page, text))
        for source in sorted(self._sources):
            text = (self._root / source).read_text(encoding="utf-8")
            language = _LANGUAGES.get(Path(source).suffix, "text")
            self._write(target, self.place(source), f'# {source}\n\n```{language} linenums="1"\n{text.rstrip()}\n```\n')

    def place(self, path: str) -> str:
        """The page of a file of the repository, relative to the pages' folder."""
        if path in TOP_PAGES:
            return TOP_PAGES[path]
        if path.startswith("docs/"):
            return path.removeprefix("docs/")
        return f"source/{path}.md"

    def _with_links(self, page: str, text: str) -> str:
        def rewrite(match: re.Match[str]) -> str:
            return self._link(page, match[1])

        parts, end = [], 0
        for fence in _FENCE.finditer(text):
            parts += [_LINK.sub(rewrite, text[end : fence.start()]), fence[0]]
            end = fence.end()
        return "".join([*parts, _LINK.sub(rewrite, text[end:])])

    def _link(self, page: str, link: str) -> str:
        address, _, anchor = link.partition("#")
        if not address or re.match(r"[a-z]+:", address):
            return link
        path = posixpath.normpath(posixpath.join(posixpath.dirname(page), address))
        if not (self._root / path).is_file() and path.removeprefix("docs/") not in self._texts:
            raise ValueError(f"{page} links to {link}, but there is no file {path}")
        place = self.place(path)
        if place.startswith("source/"):
            self._sources.add(path)
            anchor = re.sub(r"^L(\d+)$", r"__codelineno-0-\1", anchor)
        relative = os.path.relpath(place, posixpath.dirname(self.place(page)) or ".")
        return f"{relative}#{anchor}" if anchor else relative

    def _write(self, target: Path, name: str, text: str) -> None:
        file = target / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")


def main(root: Path, arguments: list[str]) -> int:
    """Lays out the pages and builds the site; returns the exit code."""
    if arguments not in ([], ["--lay-out"]):
        print("usage: build_site.py [--lay-out]", file=sys.stderr)
        return 2
    typing_farm.lay_out(root)
    try:
        Pages(root, api_pages.pages(root)).lay_out(root / "build" / "docs-pages")
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    if arguments:
        return 0
    command = [sys.executable, "-m", "zensical", "build", "--strict", "--clean"]
    return subprocess.run(command, cwd=root, check=False).returncode


if __name__ == "__main__":
    sys.exit(main(ROOT, sys.argv[1:]))
