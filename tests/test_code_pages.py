"""What the documentation tells about source files is what the files say; equations name their papers."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pytest

import code_pages
import papers_index
import sources


@pytest.fixture(scope="module")
def pages(repository: Path) -> dict[str, str]:
    return code_pages.pages(repository)


def test_the_pages_are_up_to_date(repository: Path, pages: dict[str, str]) -> None:
    for name, text in pages.items():
        present = (repository / "docs" / name).read_text(encoding="utf-8")
        assert not code_pages.is_stale(repository, present, text, page=name), f"docs/{name} is stale: run `make pages`"


def test_a_line_may_lag_within_its_definition_only(repository: Path, pages: dict[str, str]) -> None:
    wanted = pages["papers.md"]
    link = re.search(r"\]\(\.\./(\S+temporal_interest\.py)#L(\d+)\)<br>Target", wanted)
    assert link is not None
    file, line = link[1], int(link[2])
    lagging = wanted.replace(f"{file}#L{line})<br>Target", f"{file}#L{line + 5})<br>Target")
    assert not code_pages.is_stale(repository, lagging, wanted)
    elsewhere = wanted.replace(f"{file}#L{line})<br>Target", f"{file}#L1)<br>Target")
    assert code_pages.is_stale(repository, elsewhere, wanted)
    assert code_pages.is_stale(repository, wanted.replace("| [Tencent] Eq. 4 |", "| [Tencent] Eq. 9 |"), wanted)


def test_every_equation_is_marked_once(repository: Path) -> None:
    marks = Counter(
        (place.paper, place.number) for place in papers_index.places(repository) if place.number.startswith("Eq.")
    )
    assert [mark for mark, times in marks.items() if times > 1] == []
    known = {(paper, f"Eq. {n}") for paper, (_, last) in papers_index.PAPERS.items() for n in range(1, last + 1)}
    assert known - set(marks) == set()


def test_no_equation_is_named_without_its_paper(repository: Path) -> None:
    assert papers_index.bare_equations(repository) == []


@pytest.mark.parametrize(
    ("line", "bare"),
    [
        ("of Eq. 4", True),
        ("[Tencent] Eq. 4", False),
        ("[Tencent] §4.3, Eq. 4", False),
        ("(Rendle 2010, Eq. 1)", False),
        ("Tencent Eq. 4", True),
    ],
)
def test_what_counts_as_without_a_paper(tmp_path: Path, line: str, bare: bool) -> None:
    for folder in sources.FOLDERS:
        (tmp_path / folder).mkdir()
    (tmp_path / "layers/a.py").write_text(f'"""{line}."""\n')
    for name in (sources.MAIN, "setup.py"):
        (tmp_path / name).write_text("")
    assert bool(papers_index.bare_equations(tmp_path)) == bare


def test_every_public_layer_is_on_the_page_of_layers(pages: dict[str, str]) -> None:
    from fullrank import layers

    rows = re.findall(
        r"^\| `layers[\w/]*` \| \[`(\w+)`\]\((\S+)\) \| (.*?) \| (.+?) \|$", pages["api/layers.md"], re.MULTILINE
    )
    assert sorted(name for name, *_ in rows) == sorted(layers.__all__)
    assert {name: paper for name, _, paper, _ in rows}["GroupWeightedFM"] == "GwPFM"


def test_proofs_named_by_the_errata_exist(repository: Path) -> None:
    text = (repository / "docs/errata.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`(test_\w+)`", text))
    tests = "\n".join(
        (repository / file).read_text(encoding="utf-8") for file in sources.folder_files(repository, "tests")
    )
    assert len(named) >= 8
    assert [name for name in sorted(named) if f"def {name}(" not in tests] == []


def test_every_public_layer_is_in_the_index(pages: dict[str, str]) -> None:
    from fullrank import layers

    # Keras' own layer with another gradient, and expectations over a Gaussian: no part of the papers.
    general = {"dense", "gauss_hermite"}
    modules = {value.__module__ for value in vars(layers).values() if isinstance(value, type)}
    files = {module: f"{module.removeprefix('fullrank.').replace('.', '/')}.py" for module in modules}
    missing = {
        module.rpartition(".")[2] for module, file in files.items() if f"({'../' + file}#L" not in pages["papers.md"]
    }
    assert missing <= general
