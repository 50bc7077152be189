"""The index of the papers: the definitions of each equation and section, their tests, and departures.

A mark is the paper's name in brackets and what it numbers, in a docstring of the package: `[Tencent] Eq. 4, §4.3`. An
equation is marked once, where it is implemented; other places name that definition.
"""

from __future__ import annotations

import ast
import dataclasses
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import sources

PAPERS = {
    "Tencent": ("Ad Recommendation in a Collapsed and Entangled World", 8),
    "Meta": ("Learning Disentangled Representations for Ads Ranking", 8),
}
_NUMBER = r"(?:Eq\. \d+|§[\dA](?:\.\d)*|Table \d|Figure \d|Appendix A(?:\.\d)*)"
MARK = re.compile(rf"\[({'|'.join(PAPERS)})\] ({_NUMBER}(?:,? (?:and )?{_NUMBER})*)")
# An equation's number without the name of a paper before it, be it one of these two or another: `(Rendle 2010, Eq. 1)`.
_PAPER_BEFORE = re.compile(r"(?:\[(?:Tencent|Meta)\] [^()]*|\d{4}[a-z]?,? (?:§[\d.]+, )?)$")
_DEPARTS = re.compile(r"\b(?:[Tt]he papers?|paper's|[Aa]s printed|printed form|Departures?|our choice|are ours)\b")
# Tests that go over every layer or every name say nothing about one of them.
_GENERAL = re.compile(r"conformance|imports|docs_pages|packaging|code_pages")


@dataclasses.dataclass(frozen=True)
class Place:
    """A mark in a docstring: a paper's equation or section, and the definition that names it.

    Attributes:
      paper: `Tencent` or `Meta`.
      number: `Eq. 4` or `§4.3`.
      file: Relative to the root.
      line: Line of the mark.
      name: The definition, or an empty text for the module.
      docstring: All of it.
      leading: Whether the mark is in its first paragraph.
    """

    paper: str
    number: str
    file: str
    line: int
    name: str
    docstring: str
    leading: bool


def places(root: Path) -> Iterator[Place]:
    """Everything that marks in the docstrings of the package name."""
    for file in sources.package_files(root):
        for node, name in _documented(ast.parse((root / file).read_text(encoding="utf-8"))):
            text = ast.get_docstring(node, clean=False) or ""
            for match in MARK.finditer(text):
                line = node.body[0].lineno + text[: match.start()].count("\n")
                leading = "\n\n" not in text[: match.start()]
                for number in re.findall(_NUMBER, match[2]):
                    yield Place(match[1], number, file, line, name, ast.get_docstring(node) or "", leading)


def _documented(
    tree: ast.Module,
) -> Iterator[tuple[ast.Module | ast.ClassDef | ast.FunctionDef, str]]:
    yield tree, ""
    for node in tree.body:
        if isinstance(node, (ast.ClassDef, ast.FunctionDef)):
            yield node, node.name
            for inner in node.body if isinstance(node, ast.ClassDef) else ():
                if isinstance(inner, ast.FunctionDef):
                    yield inner, f"{node.name}.{inner.name}"


def bare_equations(root: Path) -> list[str]:
    """`file:line` of every equation number that does not name its paper, in code and tests."""
    found = []
    for file in sources.all_files(root):
        for number, line in enumerate((root / file).read_text(encoding="utf-8").splitlines(), start=1):
            for match in re.finditer(r"\bEq\. \d", line):
                if file.startswith((".ci/", "tests/test_code_pages")) or _PAPER_BEFORE.search(line[: match.start()]):
                    continue
                found.append(f"{file}:{number}")
    return found


def page(root: Path) -> str:
    """The text of docs/papers.md."""
    index = _Index(root)
    lines = [
        "# Index of the papers",
        "",
        "Made by `make pages` from the docstrings of the package; a test fails when it is stale. What departs from a "
        "paper is quoted from the docstring, and [errata](errata.md) collects what cannot be taken as printed.",
    ]
    for paper, (title, equations) in PAPERS.items():
        head = [f"| {paper} | where | test | departs from the paper | study |", "|---|---|---|---|---|"]
        lines += ["", f"## {paper}: {title}", "", "### Equations", "", *head]
        for number in range(1, equations + 1):
            lines += index.equation(paper, f"Eq. {number}")
        lines += ["", "### Sections", "", *head, *index.sections(paper)]
    return "\n".join([*lines, ""])


class _Index:
    """Rows of the index.

    Args:
      root: The source tree.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._places = list(places(root))
        self._tests = _uses_in_tests(root)
        self._studies = _studies(root)
        # A name that several files define, such as `run`, does not tell which of them a test uses.
        trees = [ast.parse((root / file).read_text(encoding="utf-8")) for file in sources.package_files(root)]
        self._defined = Counter(name for tree in trees for name in {name for _, name in _documented(tree)})

    def equation(self, paper: str, number: str) -> list[str]:
        """The row of an equation, which says so where nothing implements it."""
        bearing = [place for place in self._places if (place.paper, place.number) == (paper, number)]
        return [self._row(place) for place in bearing] or [f"| [{paper}] {number} | not implemented | | | |"]

    def sections(self, paper: str) -> list[str]:
        """One row for each file that names a section in the first paragraph of a docstring."""
        rows: dict[tuple[str, str], Place] = {}
        for place in self._places:
            if place.paper == paper and place.number.startswith("§") and place.leading:
                rows.setdefault((place.number, place.file), place)
        ordered = sorted(
            rows.values(), key=lambda place: ([int(n) for n in re.findall(r"\d+", place.number)], place.file)
        )
        return [self._row(place) for place in ordered]

    def _row(self, place: Place) -> str:
        tree = ast.parse((self._root / place.file).read_text(encoding="utf-8"))
        defined = [node for node in tree.body if isinstance(node, (ast.ClassDef, ast.FunctionDef))]
        public = [node.name for node in defined if not node.name.startswith("_")]
        names = [place.name.split(".")[0]] if place.name else [name for name in public if self._defined[name] == 1]
        used = Counter[str]()
        for name in names:
            used.update(self._tests.get(name, {}))
        if not used:
            used.update(self._tests.get(sources.module_name(place.file), {}))
        # The one that uses it most: further ones would come and go with every new test.
        tests = sorted(used, key=lambda test: (-used[test], test))[:1]
        texts = [place.docstring, *((ast.get_docstring(node) or "") for node in defined if node.name in names)]
        departs = list(dict.fromkeys(sentence for text in texts for sentence in _departures(text)))
        cells = [
            f"[{place.paper}] {place.number}",
            f"{f'`{place.name}` in ' if place.name else ''}[{place.file}:{place.line}](../{place.file}#L{place.line})"
            f"<br>{_cell(_summary(place.docstring))}",
            ", ".join(f"[{Path(test).stem}](../{test})" for test in tests),
            _cell(" ".join(departs)),
            ", ".join(f"[{Path(file).stem}](studies/{file})" for file in self._studies_of(place)),
        ]
        return f"| {' | '.join(cells)} |"

    def _studies_of(self, place: Place) -> list[str]:
        """Studies whose question names the place's number, or for an equation a section that its file names."""
        numbers = {place.number}
        if place.number.startswith("Eq."):
            numbers.update(p.number for p in self._places if (p.file, p.paper) == (place.file, place.paper))
        return sorted({file for number in numbers for file in self._studies.get((place.paper, number), [])})


def _sentences(text: str) -> list[str]:
    """The sentences of a docstring, without equations and sections; one that ends in a colon keeps its list."""
    paragraphs = re.split(r"\n\s*\n", text)
    prose = [" ".join(p.split()) for p in paragraphs if not re.match(r"\s{4}|[A-Z][\w ]*:\n", p)]
    found: list[str] = []
    for paragraph in prose:
        if paragraph.startswith("* ") and found and found[-1].endswith(":"):
            found[-1] += " " + "; ".join(paragraph.removeprefix("* ").rstrip(".").split(". * ")) + "."
        else:
            found += re.split(r"(?<=\.)\s+(?=[A-Z`*])", paragraph)
    return found


def _summary(text: str) -> str:
    """The first paragraph of a docstring, without a mark that it begins with."""
    summary = " ".join(text.split("\n\n")[0].split())
    start = MARK.match(summary)
    return summary[start.end() :].lstrip(": ") if start else summary


def _departures(text: str) -> list[str]:
    """The sentences behind the first that say what the paper says or leaves open."""
    return [sentence.lstrip("* ") for sentence in _sentences(text)[1:] if _DEPARTS.search(sentence)]


def _cell(text: str) -> str:
    """Text for a cell: no bar ends it, no bracket makes a link, no sign of Markdown outside code."""
    return re.sub(r"(`[^`]*`)|([\[\]<>*_])", lambda m: m[1] or f"\\{m[2]}", text).replace("|", "\\|")


def _uses_in_tests(root: Path) -> dict[str, Counter[str]]:
    """Name or module -> how often each test file uses it."""
    counts: dict[str, Counter[str]] = {}
    for test in sources.folder_files(root, "tests"):
        if _GENERAL.search(test) or not Path(test).name.startswith("test_"):
            continue
        for node in ast.walk(ast.parse((root / test).read_text(encoding="utf-8"))):
            name = node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""
            if name:
                counts.setdefault(name, Counter())[test] += 1
        for module in sources.imported_modules(root / test):
            counts.setdefault(module, Counter())[test] += 1
    return counts


def _studies(root: Path) -> dict[tuple[str, str], list[str]]:
    """(paper, number) -> files of the studies that name it in the question at their top."""
    found: dict[tuple[str, str], list[str]] = {}
    for file in sorted((root / "docs" / "studies").glob("*.md")):
        question = "\n".join(file.read_text(encoding="utf-8").splitlines()[:6])
        for match in MARK.finditer(question):
            for number in re.findall(_NUMBER, match[2]):
                found.setdefault((match[1], number), []).append(file.name)
    return found
