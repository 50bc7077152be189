"""The text that `--help` prints: what the command is for, its own flags, and with `--helpfull` all others."""

from __future__ import annotations

import inspect
import shutil
import sys
import textwrap
from collections.abc import Callable, Collection, Sequence
from typing import Any, Final

from absl import flags

from fullrank.data.files.printable import printable

HELP_FLAGS: Final = frozenset({"--help", "-help", "-h", "--h", "-?", "--helpshort", "--helpfull", "-helpfull"})
SECTION: Final = "fullrank: "
"""Prefix of a flag's module name whose rest is the heading of a separate section."""

_TYPES: Final = {
    **{"string": "TEXT", "int": "N", "float": "X", "comma separated list of strings": "A,B,..."},
    **{"multi string": "TEXT", "multi int": "N", "multi float": "X"},
}
_REPEATED: Final = "; repeat this option to specify a list of values"
"""What absl adds to the help of a flag that may be given several times, which says so itself."""


def help_text(
    main: Callable[..., object], *, flag_values: flags.FlagValues, program: str, everything: bool = False
) -> str:
    """The docstring of `main`'s module and the flags, in the order in which they were defined.

    Args:
      main: The command's main function.
      flag_values: Where its flags are defined.
      program: Its `argv[0]`, under which absl files the flags of a script.
      everything: Whether to show the flags of other packages as well.
    """
    module = sys.modules.get(main.__module__)
    usage = inspect.cleandoc((module.__doc__ if module else None) or program)
    own: list[flags.Flag[Any]] = []
    general: list[flags.Flag[Any]] = []
    others: list[flags.Flag[Any]] = []
    sections: dict[str, list[flags.Flag[Any]]] = {}
    for name, defined in flag_values.flags_by_module_dict().items():
        if name == __name__.rsplit("_", 1)[0]:
            general.extend(defined)
        elif name.startswith(SECTION):
            sections[name.removeprefix(SECTION)] = list(defined)
        elif name.startswith("fullrank.") or name in (main.__module__, program):
            own.extend(defined)
        else:
            others.extend(defined)
    parts = [usage, *(_section(title, shown) for title, shown in sections.items())]
    parts.append(_section("Other flags" if sections else "Flags", own + general))
    if everything:
        parts.append(_section("Flags of other packages", others))
    elif others:
        parts.append("--helpfull also lists the flags of other packages.")
    return "\n\n".join(part for part in parts if part)


def _section(title: str, shown: list[flags.Flag[Any]]) -> str:
    if not shown:
        return ""
    width = max(60, min(shutil.get_terminal_size((100, 24)).columns, 120))
    lines = [f"{title}:"]
    for flag in shown:
        lines.append(f"  --{_form(flag)}")
        # absl repeats the choices in front of the help of an enum.
        meaning = " ".join((flag.help or "").split()).removeprefix(f"<{_choices(flag)}>: ")
        text = f"{meaning.removesuffix(_REPEATED)} {_default(flag)}".strip()
        lines.extend(textwrap.wrap(text, width=width, initial_indent=" " * 6, subsequent_indent=" " * 6))
    return "\n".join(lines)


def _form(flag: flags.Flag[Any]) -> str:
    if flag.boolean:
        return f"[no]{flag.name}"
    choices = _choices(flag)
    return f"{flag.name}={choices or _TYPES.get(flag.flag_type(), flag.flag_type().upper())}"


def _choices(flag: flags.Flag[Any]) -> str:
    return "|".join(map(str, getattr(flag.parser, "enum_values", None) or ()))


def _default(flag: flags.Flag[Any]) -> str:
    if flag.default is None or flag.default in ("", [], ()):
        return ""
    return f"(default: {str(flag.default_as_str).strip(chr(39))})"


def text_table(header: Sequence[str], rows: Sequence[Sequence[str]], *, right: Collection[int] = ()) -> str:
    """A table with a line below its header.

    Args:
      header: Titles of the columns.
      rows: Cells, one per title in each row.
      right: Numbers of the columns to align on the right.
    """
    header, rows = [printable(cell) for cell in header], [[printable(cell) for cell in row] for row in rows]
    widths = [max(len(row[index]) for row in [header, *rows]) for index in range(len(header))]
    lines = [header, ["-" * width for width in widths], *rows]
    return "\n".join(
        "  ".join(
            cell.rjust(width) if index in right else cell.ljust(width)
            for index, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    )
