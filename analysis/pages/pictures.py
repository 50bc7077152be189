"""Figures inside a page: SVG that takes the colours of the page, and PNG files as they are."""

from __future__ import annotations

import base64
import dataclasses
import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable
from pathlib import Path
from typing import Final

from fullrank.analysis.figures.style import BLUE, GREY, INK, ORANGE

_COLORS: Final = {INK: "currentColor", BLUE: "var(--accent)", ORANGE: "var(--warn)", GREY: "var(--muted)"}
_GRID: Final = "#e4e4e4"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Picture:
    """A figure with what to see in it.

    Attributes:
      content: Markup that is safe to put into a page.
      caption: What to see.
    """

    content: str
    caption: str


class Pictures:
    """Draws figures and numbers them, so that no two parts of a page have the same identifier.

    Args:
      directory: Directory for temporary files.
    """

    def __init__(self, directory: Path) -> None:
        self._directory, self._number = directory, 0

    def drawn(self, draw: Callable[..., None], *, caption: str, alt: str) -> Picture:
        """Draws an SVG.

        Args:
          draw: Function that draws the figure into the file `path`.
          caption: What to see.
          alt: Text alternative of the figure.
        """
        self._number += 1
        file = self._directory / f"figure{self._number}.svg"
        draw(path=file)
        return Picture(
            content=inline(file.read_text(encoding="utf-8"), prefix=f"f{self._number}-", alt=alt), caption=caption
        )

    @staticmethod
    def file(path: Path, *, caption: str, alt: str) -> Picture:
        """A PNG that another command has drawn."""
        data = base64.b64encode(path.read_bytes()).decode()
        image = f'<img class="paper" alt="{_escaped(alt)}" src="data:image/png;base64,{data}">'
        return Picture(content=image, caption=caption)


def inline(svg: str, *, prefix: str, alt: str) -> str:
    """An SVG of matplotlib as part of a page: without a head, with identifiers and colours of the page.

    Args:
      svg: The file.
      prefix: Prefix of identifiers.
      alt: Text alternative of the figure.

    Raises:
      ValueError: If it is not an SVG.
    """
    start = svg.find("<svg")
    if start < 0:
        raise ValueError("expected an SVG file")
    text = re.sub(r"<metadata>.*?</metadata>", "", svg[start:], flags=re.DOTALL)
    text = re.sub(r'\bid="', f'id="{prefix}', text)
    text = re.sub(r'(url\(#|href="#)', rf"\g<1>{prefix}", text)
    for color, variable in _COLORS.items():
        text = re.sub(re.escape(color), variable, text, flags=re.IGNORECASE)
    text = re.sub(re.escape(_GRID), "var(--grid)", text, flags=re.IGNORECASE)
    width, height = (re.search(rf'<svg[^>]*\b{name}="([\d.]+)pt"', text) for name in ("width", "height"))
    if width is None or height is None:
        raise ValueError("expected an SVG with a width and a height")
    pixels = float(width[1]) * 4 / 3
    text = re.sub(r'(<svg[^>]*?) height="[\d.]+pt"', r"\1", text, count=1)
    opening = f'role="img" aria-label="{_escaped(alt)}" style="width:{pixels:.0f}px"'
    text = re.sub(r'width="[\d.]+pt"', opening, text, count=1)
    ElementTree.fromstring(text)  # noqa: S314 - drawn by this process
    return text


def _escaped(text: str) -> str:
    table = {"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;"}
    return "".join(table.get(letter, letter) for letter in text)
