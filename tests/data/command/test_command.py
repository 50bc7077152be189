"""Every command ends with a result, or with one line that says what is wrong, and never with a traceback."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence

import pytest
from absl import flags
from started import started

from fullrank.data.command import command
from fullrank.data.command import errors as command_errors


def run(main: Callable[[flags.FlagValues], int | None], *arguments: str) -> int:
    """Runs a command with a few flags and returns its exit code."""
    values = command.new_flags()
    flags.DEFINE_string("input", None, "Files to read.", flag_values=values, required=True)
    flags.DEFINE_integer("shards", 4, "Files to write.", flag_values=values)
    flags.DEFINE_enum("layout", "block", ["block", "example"], "How records lie.", flag_values=values)
    flags.DEFINE_bool("overwrite", False, "Replace what is there.", flag_values=values)
    flags.DEFINE_list("label", None, "Columns of labels.", flag_values=values)

    def call() -> int | None:
        return main(values)

    try:
        command.run_command(call, flag_values=values, argv=["program", *arguments])
    except SystemExit as end:
        return int(end.code or 0)
    return 0


def failing(error: BaseException) -> Callable[[flags.FlagValues], int | None]:
    def main(values: flags.FlagValues) -> int | None:
        raise error

    return main


def succeeding(values: flags.FlagValues) -> None:
    print(f"read {values.input}, {values.shards} shards, labels {values.label}")


def test_a_command_gets_its_flags(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(succeeding, "--input=a.csv", "--shards", "7", "--label=x,y") == 0
    assert capsys.readouterr().out == "read a.csv, 7 shards, labels ['x', 'y']\n"


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (["--input=~/a/*.csv,~/b.csv"], "/home/me/a/*.csv,/home/me/b.csv"),
        (["--input", "~/a.csv"], "/home/me/a.csv"),
        (["--input=a~/b,~"], "a~/b,~"),
    ],
)
def test_a_tilde_is_the_home_folder(
    given: list[str], expected: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    assert run(succeeding, *given) == 0
    assert capsys.readouterr().out.startswith(f"read {expected}, 4 shards")


@pytest.mark.parametrize("word", ["--help", "-h", "-?", "--helpshort"])
def test_help_is_the_docstring_and_the_flags_in_order(capsys: pytest.CaptureFixture[str], word: str) -> None:
    assert run(succeeding, word, "--nonsense") == 0
    assert capsys.readouterr().out == (
        "Every command ends with a result, or with one line that says what is wrong, and never with a traceback.\n"
        "\n"
        "Flags:\n"
        "  --input=TEXT\n"
        "      Files to read.\n"
        "  --shards=N\n"
        "      Files to write. (default: 4)\n"
        "  --layout=block|example\n"
        "      How records lie. (default: block)\n"
        "  --[no]overwrite\n"
        "      Replace what is there. (default: false)\n"
        "  --label=A,B,...\n"
        "      Columns of labels.\n"
        "  --[no]debug\n"
        "      Show the traceback of an error. (default: false)\n"
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--input=a", "--shard=3"], "unknown flag --shard; did you mean --shards? See --help."),
        (["--inptu=a"], "unknown flag --inptu; did you mean --input? See --help."),
        (["--input=a", "--nooverwrit"], "unknown flag --nooverwrit; did you mean --overwrite? See --help."),
        (["--input=a", "--zzz=1"], "unknown flag --zzz; no flag has a similar name. See --help."),
        ([], "flag --input is required. See --help."),
        (["--input=a", "--shards=x"], "flag --shards=x: invalid literal for int() with base 10: 'x'. See --help."),
        (["--input=a", "--layout=b"], "flag --layout=b: value should be one of <block|example>. See --help."),
        (["--input=a", "b"], "unexpected argument 'b'; flags are written --name=value. See --help."),
    ],
)
def test_a_wrong_command_line_is_one_line_and_code_2(
    capsys: pytest.CaptureFixture[str], arguments: Sequence[str], message: str
) -> None:
    assert run(succeeding, *arguments) == 2
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("", f"error: {message}\n")


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (ValueError("file x,\n  row 3: is bad"), 1, "file x, row 3: is bad"),
        (command_errors.UsageError("--a and --b exclude each other."), 2, "--a and --b exclude each other."),
        (FileNotFoundError(errno.ENOENT, "No such file or directory", "a.csv"), 1, "a.csv: No such file or directory"),
        (
            OSError(errno.ENOSPC, "No space left on device", "out/x"),
            1,
            "no space left on the device while writing out/x. Nothing half-written was kept; free some space and run "
            "again.",
        ),
        (OSError("odd"), 1, "odd"),
        (MemoryError(), 1, "out of memory."),
        (KeyError("x"), 1, "KeyError: 'x' (run again with --debug to see where)"),
        (KeyboardInterrupt(), 130, "interrupted."),
    ],
)
def test_an_error_is_one_line(
    capsys: pytest.CaptureFixture[str], error: BaseException, code: int, message: str
) -> None:
    assert run(failing(error), "--input=a") == code
    assert capsys.readouterr().err == f"error: {message}\n"


def test_debug_shows_the_traceback_and_still_the_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(failing(KeyError("x")), "--input=a", "--debug") == 1
    captured = capsys.readouterr().err
    assert captured.startswith("Traceback (most recent call last)")
    assert captured.endswith("\nerror: KeyError: 'x' (run again with --debug to see where)\n")


def test_the_return_value_is_the_exit_code() -> None:
    assert run(lambda values: 3, "--input=a") == 3


def test_the_message_of_a_tensorflow_error_has_no_noise() -> None:
    import tensorflow as tf

    error = tf.errors.DataLossError(
        None,
        None,
        "{{function_node __wrapped__IteratorGetNext}} corrupted record at 12\n\t [[{{node X}}]] [Op:Next] name: ",
    )
    assert command_errors.describe_error(error) == "corrupted record at 12"
    deep = tf.errors.InvalidArgumentError(
        None,
        None,
        "Exception encountered when calling layer 'set0' (type SetInputs).\n\nGraph execution error:\n\n"
        'Detected at node a/B defined at (most recent call last):\n  File "<frozen runpy>", line 198, in _run\n\n'
        '  File "/x/y.py", line 7, in call\n\nindices[0] = 9 is not in [0, 5)\n\t [[{{node a/B}}]] [Op:__f_66]\n\n'
        "Call arguments received by layer 'set0' (type SetInputs):\n  • rows=tf.Tensor(shape=(1, 1), dtype=int64)",
    )
    assert command_errors.describe_error(deep) == "indices[0] = 9 is not in [0, 5)"
    large = "OOM when allocating tensor with shape[1000,16] and type float on /job:localhost by allocator mklcpu"
    assert command_errors.describe_error(tf.errors.ResourceExhaustedError(None, None, large)) == (
        "out of memory: there is none left for float numbers of shape [1000,16]."
    )
    full = tf.errors.ResourceExhaustedError(None, None, "x.tfrecord; No space left on device")
    assert command_errors.describe_error(full).startswith("no space left on the device. Nothing half-written was kept")


CHILD = """
import os, sys, time
from fullrank.data.command import command

def main():
    if sys.argv[1] == "pipe":
        for number in range(100_000):
            print(number)
    try:
        print("started", flush=True)
        time.sleep(60)
    finally:
        print("cleaned up", flush=True)

__doc__ = "Numbers.\\n" + 100_000 * "They are whole.\\n"
argv = ["program", *(argument for argument in sys.argv[1:] if argument == "--help")]
command.run_command(main, flag_values=command.new_flags(), argv=argv)
"""


def test_termination_unwinds() -> None:
    with started([sys.executable, "-c", CHILD, "sleep"], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as child:
        assert child.stdout is not None
        assert child.stderr is not None
        assert child.stdout.readline() == "started\n"
        os.kill(child.pid, signal.SIGTERM)
        assert child.stdout.read() == "cleaned up\n"
        assert child.stderr.read() == "error: terminated.\n"
        assert child.wait(30) == 143


@pytest.mark.parametrize(("stop", "code"), [(KeyboardInterrupt(), 130), (command.Terminated(), 143)])
def test_a_stopped_command_says_what_is_kept(
    capsys: pytest.CaptureFixture[str], stop: BaseException, code: int
) -> None:
    def main(values: flags.FlagValues) -> None:
        with command.saying_what_is_kept(lambda: "The first half is kept."):
            raise stop

    assert run(main, "--input=a") == code
    assert capsys.readouterr().err.startswith("\nThe first half is kept.\nerror: ")


@pytest.mark.parametrize(("argument", "first"), [("pipe", "0\n"), ("--help", "Numbers.\n")])
def test_a_closed_pipe_is_no_error(argument: str, first: str) -> None:
    with started([sys.executable, "-c", CHILD, argument], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as child:
        assert child.stdout is not None
        assert child.stderr is not None
        assert child.stdout.readline() == first
        child.stdout.close()
        assert child.stderr.read() == ""
        assert child.wait(30) == 141
