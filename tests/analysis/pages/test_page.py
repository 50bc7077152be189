"""The page: contrast of its colours, figures inside it, cells, and text that is data and not markup."""

from __future__ import annotations

import html
import html.parser
import itertools
import re
from pathlib import Path

import matplotlib as mpl
import pytest

from fullrank.analysis.figures.style import BLUE, GREY, figure
from fullrank.analysis.pages.page import CommandText, Section, Table, Verdict, cell, render
from fullrank.analysis.pages.pictures import Pictures, inline
from fullrank.analysis.pages.template import PAGE

VERDICT = Verdict(question="Is it?", state="good", answer="It is.", section="one")


def colors(block: str) -> dict[str, str]:
    return dict(re.findall(r"--([\w-]+): (#[0-9a-f]{3,6});", block))


def luminance(color: str) -> float:
    """Relative luminance of WCAG 2."""
    digits = color.removeprefix("#")
    parts = digits if len(digits) == 6 else "".join(2 * digit for digit in digits)
    shares = [int(parts[place : place + 2], 16) / 255 for place in (0, 2, 4)]
    linear = [share / 12.92 if share <= 0.04045 else ((share + 0.055) / 1.055) ** 2.4 for share in shares]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def schemes() -> dict[str, dict[str, str]]:
    light, dark, *_, printed = re.findall(r":root \{(.*?)\}", PAGE, re.DOTALL)
    return {
        "light": colors(light),
        "dark": {**colors(light), **colors(dark)},
        "print": {**colors(light), **colors(printed)},
    }


def test_contrast_is_computed_as_known() -> None:
    assert contrast("#000", "#ffffff") == pytest.approx(21.0)
    assert contrast("#767676", "#ffffff") == pytest.approx(4.54, abs=0.01)


@pytest.mark.parametrize("scheme", ["light", "dark", "print"])
def test_every_text_can_be_read(scheme: str) -> None:
    """4.5 : 1 or more, of all colours that text has on all that it stands on (WCAG 2, level AA)."""
    shades = schemes()[scheme]
    pairs = [*itertools.product(("ink", "muted", "accent"), ("paper", "card")), ("ink", "code")]
    pairs += [("good", "good-soft"), ("warn", "bad-soft"), ("open", "open-soft"), ("muted", "unknown-soft")]
    found = {pair: contrast(shades[pair[0]], shades[pair[1]]) for pair in pairs}
    assert {pair: ratio for pair, ratio in found.items() if ratio < 4.5} == {}
    # Lines and bars need 3 : 1.
    marks = {name: contrast(shades[name], shades["card"]) for name in ("accent", "warn", "muted")}
    assert min(marks.values()) >= 3.0


def test_a_figure_takes_the_colours_of_the_page(tmp_path: Path) -> None:
    def draw(path: Path) -> None:
        with figure(path=path) as axes:
            axes.plot([0, 1], [0, 1], color=BLUE)
            axes.axhline(0.5, color=GREY)
            axes.set_title("<script>alert(1)</script>")

    pictures = Pictures(tmp_path)
    first, second = (pictures.drawn(draw, caption="c", alt='a "b" <c>') for _ in range(2))
    assert "var(--accent)" in first.content
    assert "currentColor" in first.content
    assert "var(--muted)" in first.content
    assert "<script>" not in first.content
    assert 'aria-label="a &quot;b&quot; &lt;c&gt;"' in first.content
    assert "<metadata>" not in first.content
    assert "#0072b2" not in first.content.lower()
    identifiers = [set(re.findall(r'\bid="([^"]+)"', picture.content)) for picture in (first, second)]
    assert not identifiers[0] & identifiers[1]
    referred = set(re.findall(r'(?:url\(|href=")#([^)"]+)', first.content))
    assert referred <= identifiers[0]
    with pytest.raises(ValueError, match="expected an SVG"):
        inline("no", prefix="f", alt="")


def test_a_png_keeps_its_colours(tmp_path: Path) -> None:
    with figure(path=tmp_path / "a.png") as axes:
        axes.plot([0, 1], [0, 1])
    assert mpl.rcParams["text.color"] != "#010203"
    assert (tmp_path / "a.png").read_bytes()[:4] == b"\x89PNG"
    assert "data:image/png;base64," in Pictures.file(tmp_path / "a.png", caption="", alt="").content


def test_names_are_text_and_the_page_is_whole() -> None:
    table = Table(columns=("a<b", "n"), rows=(("<b>x</b>", 1234), (None, float("nan"))), caption="c & d", folded=True)
    section = Section(name="one", title="<One>", tables=[table], missing=[("Gone.", "fullrank x --a='b'")])
    text = render(title="<i>", subtitle="s", facts=["f"], verdicts=[VERDICT], sections=[section])
    assert "<b>x</b>" not in text
    assert "&lt;b&gt;x&lt;/b&gt;" in text
    assert "1,234" in text
    assert '<a href="#one">See why</a>' in text
    assert '<section id="one">' in text
    # Nothing is fetched: no script, no link, no address.
    assert "<script" not in text
    assert not re.findall(r'(?:src|href)="(?!#|data:)', text)
    opened: list[str] = []

    class Parser(html.parser.HTMLParser):
        def handle_starttag(self, tag: str, attrs: object) -> None:
            if tag not in {"meta", "link", "img", "br"}:
                opened.append(tag)

        def handle_endtag(self, tag: str) -> None:
            assert opened.pop() == tag

    Parser().feed(text)
    assert opened == []


def test_a_command_is_broken_between_words_only_and_copied_as_it_is() -> None:
    command = "fullrank train --data=records '--note=<a> b'"
    card = Section(
        name="one", title="One", tables=[Table(columns=("what", "value"), rows=(("command", CommandText(command)),))]
    )
    absent = Section(name="two", title="Two", missing=[("Nothing.", command)])
    page = render(title="Run", subtitle="", facts=(), verdicts=[VERDICT], sections=[card, absent])
    found = re.findall(r"<code>(.*?)</code>", page)
    assert len(found) == 2
    for code in found:
        assert "<span>--data=records</span>" in code
        assert html.unescape(re.sub(r"</?span>", "", code)) == command


@pytest.mark.parametrize(
    ("value", "shown"),
    [(None, "-"), (float("nan"), "-"), (12345, "12,345"), (0.5, "0.5000"), (1234.56, "1,234.6"), ("x", "x")],
)
def test_cells(value: object, shown: str) -> None:
    assert cell(value) == shown
