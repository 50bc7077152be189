"""Every page of the documentation is true: links lead somewhere, examples run, nothing public is left out."""

from __future__ import annotations

import doctest
import re
from pathlib import Path

import pytest

import build_site
from fullrank.models.interactions import INTERACTIONS

DOCTEST = re.compile(r"^```python\n(>>> .*?)^```$", re.MULTILINE | re.DOTALL)


def examples(page: str) -> dict[str, str]:
    """Each `:::` entry of an API page -> the example below it; an empty text where there is none."""
    entries = re.split(r"^::: (\S+)$", page, flags=re.MULTILINE)
    found = [DOCTEST.search(text) for text in entries[2::2]]
    return {name: match[1] if match else "" for name, match in zip(entries[1::2], found, strict=True)}


def test_examples_of_the_layers_run(repository: Path) -> None:
    page = (repository / "docs/api/layers.md").read_text(encoding="utf-8")
    text = "\n".join(DOCTEST.findall(page))
    test = doctest.DocTestParser().get_doctest(text, {}, "docs/api/layers.md", "docs/api/layers.md", 0)
    report: list[str] = []
    runner = doctest.DocTestRunner(verbose=False)
    runner.run(test, out=report.append)
    assert runner.tries > 60
    assert not report, "".join(report)


def test_every_public_layer_has_an_example(repository: Path) -> None:
    import tf_keras as keras

    from fullrank import layers

    shown = examples((repository / "docs/api/layers.md").read_text(encoding="utf-8"))
    assert {f"fullrank.layers.{name}" for name in layers.__all__} == set(shown)
    without = {name for name, example in shown.items() if not example}
    public = {name: getattr(layers, name.rpartition(".")[2]) for name in without}
    assert not [name for name, value in public.items() if issubclass(value, keras.layers.Layer)]


def test_the_names_of_experts_are_all_listed(repository: Path) -> None:
    table = (repository / "docs/components.md").read_text().split("| name in `--experts` |")[1].split("\n\n")[0]
    listed = [name for row in table.splitlines()[2:] for name in re.findall(r"`(\w+)`", row.split("|")[1])]
    assert sorted(listed) == sorted(INTERACTIONS)


@pytest.mark.slow
def test_the_site_builds_without_a_warning(repository: Path) -> None:
    assert build_site.main(repository, []) == 0
    pages = list((repository / "build" / "docs").rglob("*.html"))
    assert len(pages) > 20
    fetched = re.compile(r"""(?:\bsrc=|<link[^>]*\bhref=)["']?(?:https?:)?//""")
    assert not [page for page in pages if fetched.search(page.read_text(encoding="utf-8"))]
