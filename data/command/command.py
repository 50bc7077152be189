"""The behaviour that all commands share: flags, help, one-line errors and exit codes.

A command module defines its flags in `run`, and hands its main function to `run_command`:

    def run(argv: Sequence[str] | None = None) -> None:
        flag_values = command.new_flags()
        flags.DEFINE_string("input", None, "Files to read.", flag_values=flag_values)
        command.run_command(lambda: main(flag_values), flag_values=flag_values, argv=argv)

Exit codes: 0 done, 1 something went wrong, 2 the command line is wrong, 130 interrupted, 143 terminated.
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterator, Sequence
from types import FrameType
from typing import Final

from absl import flags, logging

from fullrank.data.command.errors import UsageError, describe_error, describe_flag_error
from fullrank.data.command.help import HELP_FLAGS, help_text
from fullrank.data.command.quiet_tensorflow import import_tensorflow_quietly
from fullrank.data.files.printable import printable, printable_terminal

_HOME: Final = re.compile(r"(^|,)~/")

FAILED: Final = 1
WRONG_USAGE: Final = 2
INTERRUPTED: Final = 130
BROKEN_PIPE: Final = 141
TERMINATED: Final = 143


class Terminated(SystemExit):
    """The process was asked to end (SIGTERM); unwinds the stack as `KeyboardInterrupt` does."""

    def __init__(self) -> None:
        super().__init__(TERMINATED)


def new_flags() -> flags.FlagValues:
    """An empty set of flags for one command, apart from those of the process."""
    return flags.FlagValues()  # type: ignore[no-untyped-call]


def run_command(
    main: Callable[[], int | None],
    *,
    flag_values: flags.FlagValues = flags.FLAGS,
    argv: Sequence[str] | None = None,
    tensorflow: bool = False,
    positional: str | None = None,
) -> None:
    """Parses the command line, runs `main`, and turns an error into one line and an exit code.

    Args:
      main: The command. Its return value is the exit code; `None` is 0. The docstring of its module is the usage text.
      flag_values: Where the command's flags are defined.
      argv: Program name and arguments; `None` for those of the process.
      tensorflow: Whether `main` needs TensorFlow, which is then imported without its start-up messages.
      positional: Name of the list flag to whose values the arguments are added that belong to no flag; `None` rejects
        such arguments.

    Raises:
      SystemExit: With the exit code, unless that is 0.
    """
    with printable_terminal():
        _run(
            main,
            flag_values=flag_values,
            arguments=list(sys.argv if argv is None else argv),
            tensorflow=tensorflow,
            positional=positional,
        )


def _run(
    main: Callable[[], int | None],
    *,
    flag_values: flags.FlagValues,
    arguments: list[str],
    tensorflow: bool,
    positional: str | None,
) -> None:
    if "debug" not in flag_values:
        flags.DEFINE_bool(
            "debug",
            False,
            "Show the traceback of an error.",
            flag_values=flag_values,
            module_name="fullrank.data.command.command",
        )
    if any(argument in HELP_FLAGS for argument in arguments[1:]):
        everything = any("full" in argument for argument in arguments[1:] if argument in HELP_FLAGS)
        text = help_text(main, flag_values=flag_values, program=arguments[0], everything=everything)
        code = _call(lambda: print(text), debug=_debug(flag_values), tensorflow=False)
    else:
        arguments = [arguments[0], *map(_with_home, arguments[1:])]
        wrong = _parse(arguments, flag_values, positional=positional)
        code = wrong or _call(main, debug=_debug(flag_values), tensorflow=tensorflow)
    if code:
        sys.exit(code)


def _with_home(argument: str) -> str:
    """An argument with the home folder in place of `~`, which a shell leaves in `--name=~/path` and in quotes."""
    name, equals, value = argument.partition("=") if argument.startswith("-") else ("", "", argument)
    home = os.path.expanduser("~/")
    return name + equals + _HOME.sub(lambda match: match[1] + home, value)


def _debug(flag_values: flags.FlagValues) -> Callable[[], bool]:
    return lambda: bool(flag_values["debug"].value)


def _parse(arguments: list[str], flag_values: flags.FlagValues, *, positional: str | None) -> int:
    if positional is not None:
        # Otherwise absl reads no flag after the first argument that belongs to none.
        flag_values.set_gnu_getopt()
    try:
        found = flag_values(arguments)[1:]
    except flags.Error as error:
        return _report(describe_flag_error(error, flag_values), WRONG_USAGE)
    if positional is not None:
        flag_values[positional].value = [*(flag_values[positional].value or ()), *found]
    elif found:
        return _report(f"unexpected argument {found[0]!r}; flags are written --name=value. See --help.", WRONG_USAGE)
    logging.use_absl_handler()
    return 0


def _call(main: Callable[[], int | None], *, debug: Callable[[], bool], tensorflow: bool) -> int:
    try:
        with _termination_unwinds():
            if tensorflow:
                import_tensorflow_quietly()
            code = main()
            sys.stdout.flush()
            return int(code or 0)
    except KeyboardInterrupt:
        return _report("interrupted.", INTERRUPTED)
    except Terminated:
        return _report("terminated.", TERMINATED)
    except BrokenPipeError:
        # The reader of our output (`| head`) has seen enough. Python would complain once more when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return BROKEN_PIPE
    except (UsageError, flags.Error) as error:
        _show_traceback(debug())
        return _report(describe_error(error), WRONG_USAGE)
    except Exception as error:  # the promise of this module: one line, whatever it was
        _show_traceback(debug())
        return _report(describe_error(error), FAILED)


def _show_traceback(debug: bool) -> None:
    if debug:
        traceback.print_exc()


def _report(message: str, code: int) -> int:
    print(f"error: {printable(message)}", file=sys.stderr, flush=True)
    return code


@contextlib.contextmanager
def saying_what_is_kept(sentence: Callable[[], str]) -> Iterator[None]:
    """Prints a sentence when the block is interrupted (Ctrl-C) or terminated (SIGTERM): what is kept and how to resume.

    Args:
      sentence: Returns the sentence; called only then.
    """
    try:
        yield
    except (KeyboardInterrupt, Terminated):
        print(f"\n{sentence()}", file=sys.stderr, flush=True)
        raise


@contextlib.contextmanager
def _termination_unwinds() -> Iterator[None]:
    """Makes SIGTERM unwind the stack, so that temporary directories and worker processes are cleaned up."""
    main_thread = threading.current_thread() is threading.main_thread()
    if not main_thread or signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
        yield
        return
    signal.signal(signal.SIGTERM, _terminate)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _terminate(signum: int, frame: FrameType | None) -> None:
    del signum, frame
    raise Terminated
