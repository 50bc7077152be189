"""Control characters in names are shown, not obeyed."""

from __future__ import annotations

import io
import os
import pty
import subprocess
import sys

import pytest

from fullrank.analysis.comparisons.tables import format_table
from fullrank.data.command import command
from fullrank.data.command.help import text_table
from fullrank.data.files.printable import printable, printable_terminal

EVIL = "a\x1b[2J\r\x08b\x9b\u202ec"
SHOWN = r"a\x1b[2J\r\x08b\x9b\u202ec"


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_name_is_shown_on_one_line() -> None:
    assert printable(EVIL) == SHOWN
    assert printable("x\ny\u2028z") == r"x\ny\u2028z"
    assert printable("größe 値 é\u200d") == "größe 値 é\u200d"


def test_tables_and_errors_show_names(capsys: pytest.CaptureFixture[str]) -> None:
    assert SHOWN.replace(r"\r", " ") in format_table(rows=[{"feature": EVIL}], columns=["feature"])
    assert SHOWN in text_table(("feature",), [(EVIL,)])

    def main() -> None:
        raise ValueError(f"no column {EVIL}.")

    with pytest.raises(SystemExit):
        command.run_command(main, flag_values=command.new_flags(), argv=["program"])
    assert capsys.readouterr().err == f"error: no column {SHOWN.replace(chr(92) + 'r', ' ')}.\n"


def test_a_terminal_gets_no_control_characters_but_those_of_a_progress_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal, pipe = Terminal(), io.StringIO()
    monkeypatch.setattr(sys, "stdout", terminal)
    monkeypatch.setattr(sys, "stderr", pipe)
    with printable_terminal():
        print(f"name\t{EVIL}")
        sys.stdout.write("\r\x08 50 %")
        sys.stdout.writelines(["x\x07", "y\n"])
        print(EVIL, file=sys.stderr)
    assert terminal.getvalue() == f"name\t{SHOWN}\n\r\x08 50 %x\\x07y\n"
    assert pipe.getvalue() == f"{EVIL}\n"  # data that goes into a file or a pipe stays what it is
    assert sys.stdout is terminal


CHILD = """
from fullrank.data.command import command

def main():
    print("column \\x1b]0;title\\x07 x")
    raise ValueError("bad \\x1b[31mname")

command.run_command(main, flag_values=command.new_flags(), argv=["program"])
"""


def test_a_command_in_a_terminal() -> None:
    ours, theirs = pty.openpty()
    with subprocess.Popen([sys.executable, "-c", CHILD], stdout=theirs, stderr=theirs) as child:
        os.close(theirs)
        said = b""
        while b"name" not in said:
            said += os.read(ours, 1000)
        assert child.wait(60) == 1
    os.close(ours)
    assert said.startswith(b"column \\x1b]0;title\\x07 x\r\nerror: bad \\x1b[31mname")
    assert b"\x1b" not in said


QUIET = """
from fullrank.data.command.quiet_tensorflow import import_tensorflow_quietly

import_tensorflow_quietly()
import tensorflow as tf

print(tf.function(tf.transpose, autograph=False)(tf.zeros([2, 3], tf.int32)).shape)
tf.constant([1, 2])[7]
"""


def test_errors_of_tensorflow_are_shown_and_its_line_on_onednn_is_not() -> None:
    done = subprocess.run(
        [sys.executable, "-c", QUIET],
        capture_output=True,
        text=True,
        check=False,
        env={name: value for name, value in os.environ.items() if name != "TF_CPP_MIN_LOG_LEVEL"},
    )
    assert done.stdout == "(3, 2)\n"
    assert "oneDNN" not in done.stderr
    assert "slice index 7 of dimension 0 out of bounds" in done.stderr
