"""A page: verdicts on top, then sections of figures and tables; one HTML file that needs nothing else."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Any, Final, Literal

import jinja2

from fullrank.analysis.pages.pictures import Picture
from fullrank.analysis.pages.template import PAGE

State = Literal["good", "bad", "open", "unknown"]
WORDS: Final[dict[State, str]] = {"good": "Yes", "bad": "No", "open": "Not resolved", "unknown": "Not known"}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Verdict:
    """One question, answered.

    Attributes:
      question: As a person asks it.
      state: How good the answer is.
      word: The answer in a word or two; that of the state if empty.
      answer: The answer in a sentence or two, with its numbers.
      section: The section that shows more.
      picture: The figure that shows it; `None` without one.
    """

    question: str
    state: State
    answer: str
    section: str
    word: str = ""
    picture: Picture | None = None

    @property
    def shown(self) -> str:
        """The answer in a word."""
        return self.word or WORDS[self.state]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Table:
    """Rows of cells under a header; numbers are right-aligned.

    Attributes:
      columns: Names of the columns.
      rows: Cells.
      caption: What to see.
      folded: Whether it is shown on demand.
    """

    columns: tuple[str, ...]
    rows: tuple[tuple[Any, ...], ...]
    caption: str = ""
    folded: bool = False


@dataclasses.dataclass(frozen=True, kw_only=True)
class Section:
    """A part of the page.

    Attributes:
      name: Its anchor.
      title: Its title.
      lead: What it says, in a sentence or two.
      pictures: Its figures.
      tables: Its tables.
      missing: Descriptions of missing parts, and the commands that write them.
    """

    name: str
    title: str
    lead: str = ""
    pictures: Sequence[Picture] = ()
    tables: Sequence[Table] = ()
    missing: Sequence[tuple[str, str]] = ()


class CommandText(str):
    """A command line as the value of a cell: its lines break between words only, not after the `--` of a flag."""

    __slots__ = ()


def render(
    *, title: str, subtitle: str, facts: Sequence[str], verdicts: Sequence[Verdict], sections: Sequence[Section]
) -> str:
    """The page as HTML. Everything but figures is escaped.

    Args:
      title: Its title.
      subtitle: Line below the title.
      facts: Short facts in a line.
      verdicts: The answers on top.
      sections: The parts below.
    """
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["cell"] = cell
    environment.tests["command_text"] = lambda value: isinstance(value, CommandText)
    template = environment.from_string(PAGE)
    return template.render(title=title, subtitle=subtitle, facts=facts, verdicts=verdicts, sections=sections)


def cell(value: Any) -> str:
    """A cell as text: integers with separators, other numbers with four digits, a dash for nothing."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return "-"
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:.4f}" if abs(value) < 10 else f"{value:,.1f}"
