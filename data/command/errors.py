"""Describes every error that can end a command in one line."""

from __future__ import annotations

import errno
import re
import sys
from typing import Final

from absl import flags

from fullrank.data.files.printable import closest

# Text that TensorFlow wraps around the message that a user needs.
_TENSORFLOW_NOISE: Final = re.compile(
    r"\{\{.*?\}\}|\[\[.*?\]\]|\[Op:\w+\]( name: \S*)?|Traceback \(most recent call last\):.*"
    r"|Exception encountered when calling layer [^\n]*|Graph execution error:"
    r"|Detected at node [^\n]*\(most recent call last\):\n|^ *File \"[^\n]*$"
    r"|Hint: If you want to see a list of allocated tensors[^\n]*|Call arguments received by layer .*",
    re.DOTALL | re.MULTILINE,
)
_TOO_LARGE: Final = re.compile(r"OOM when allocating tensor with shape(\[[\d,]*\]) and type (\w+)")


class UsageError(ValueError):
    """A command line that parses but makes no sense, such as two flags that exclude each other (exit code 2)."""


def describe_flag_error(error: flags.Error, flag_values: flags.FlagValues) -> str:
    """Describes a command line that does not parse in one line, with the flag that was probably meant."""
    if isinstance(error, flags.UnrecognizedFlagError):
        name = error.flagname
        known = [flag for flag in flag_values if len(flag) > 1]
        stem = name[2:] if name.startswith("no") and name not in known else name
        meant = closest(name, known) or closest(stem, known)
        hint = f"did you mean --{meant}?" if meant else "no flag has a similar name."
        return f"unknown flag --{name}; {hint} See --help."
    message = _one_line(str(error))
    again = re.fullmatch(r"flag --([^\s=]+)=(.*): already defined as .*", message)
    if again is not None:
        return f"flag --{again[1]} is given more than once, the second time as {again[2]}; give one list. See --help."
    required = re.fullmatch(r"flag --(\S+)=None: .* must have a value other than None\.", message)
    return f"flag --{required[1]} is required. See --help." if required else f"{message.rstrip('.')}. See --help."


def describe_error(error: BaseException) -> str:
    """Describes `error` in one line, without the class name where the message is written for users."""
    if isinstance(error, OSError):
        return _describe_os_error(error)
    if isinstance(error, MemoryError):
        return f"out of memory. {_one_line(str(error))}".strip()
    if _is_tensorflow_error(error):
        return _describe_tensorflow_error(error)
    message = _one_line(str(error))
    if isinstance(error, (ValueError, ImportError, NotImplementedError, flags.Error)) and message:
        return message
    return f"{type(error).__name__}: {message} (run again with --debug to see where)"


def _describe_os_error(error: OSError) -> str:
    if error.errno == errno.ENOSPC:
        where = f" while writing {error.filename!s}" if error.filename else ""
        return f"no space left on the device{where}. Nothing half-written was kept; free some space and run again."
    if error.strerror and error.filename:
        return f"{error.filename!s}: {error.strerror}"
    return _one_line(str(error)) or type(error).__name__


def _is_tensorflow_error(error: BaseException) -> bool:
    # Looked up, not imported: a command that never needed TensorFlow should not load it in order to fail.
    module = sys.modules.get("tensorflow.python.framework.errors_impl")
    return module is not None and isinstance(error, module.OpError)


def _describe_tensorflow_error(error: BaseException) -> str:
    raw = getattr(error, "message", None) or str(error)
    message = _one_line(_TENSORFLOW_NOISE.sub(" ", raw)).strip(": ")
    too_large = _TOO_LARGE.search(message)
    if too_large is not None:
        return f"out of memory: there is none left for {too_large[2]} numbers of shape {too_large[1]}."
    if "No space left on device" in message:
        return f"no space left on the device. Nothing half-written was kept; free some space and run again. ({message})"
    return message or type(error).__name__


def _one_line(message: str) -> str:
    return " ".join(message.split())
