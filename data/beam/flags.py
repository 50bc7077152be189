"""The flags that convert on Apache Beam, and those of `convert` that cannot go with them."""

from __future__ import annotations

import dataclasses
import shlex
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from absl import flags

from fullrank.data.command.errors import UsageError
from fullrank.data.files.find_files import format_of
from fullrank.data.files.printable import closest

RUNNERS: Final = {
    # What Beam calls DirectRunner first tries to download Prism, an executable, and then takes this one, too.
    "direct": "apache_beam.runners.portability.fn_api_runner.FnApiRunner",
    **{"flink": "FlinkRunner", "spark": "SparkRunner", "dataflow": "DataflowRunner", "portable": "PortableRunner"},
}
"""Name -> Beam's name of the runner."""
_TOGETHER: Final = {
    "group_by": "the rows of a request may be in several files, so it needs all of them in one place",
    "exposures": "earlier exposures are counted over the whole log, in one place",
    "workers": "the number of workers is an option of Beam's runner, e.g. --beam_options=--direct_num_workers=4",
}
"""Flag -> why it cannot go with --runner."""
_FORMATS: Final = ("csv", "parquet", "arrow")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Runner:
    """A runner of Beam and its options, as Beam writes them.

    Attributes:
      name: A key of `RUNNERS`.
      options: Options such as `--parallelism=8`.
    """

    name: str
    options: tuple[str, ...] = ()


def define_beam_flags(flag_values: flags.FlagValues) -> None:
    """Defines --runner and --beam_options."""
    flags.DEFINE_string(
        "runner",
        None,
        f"Convert on Apache Beam (pip install 'fullrank[beam]'), with this runner: {', '.join(RUNNERS)}. The output is "
        "that of the conversion in this process, which is the default.",
        flag_values=flag_values,
    )
    flags.DEFINE_multi_string(
        "beam_options",
        None,
        "Options of Beam's own for --runner, as Beam writes them, e.g. '--flink_master=host:8081 --parallelism=8'. May "
        "be repeated.",
        flag_values=flag_values,
    )


def read_runner(flag_values: flags.FlagValues) -> Runner | None:
    """The runner that the flags name; `None` for a conversion in this process.

    Raises:
      UsageError: If there is no such runner, or a flag cannot go with it.
    """
    given = flag_values.runner
    if given is None:
        if flag_values.beam_options:
            raise UsageError("--beam_options has no effect without --runner.")
        return None
    name = given.lower().removesuffix("runner")
    if name not in RUNNERS:
        near = closest(name, list(RUNNERS))
        hint = f"Did you mean {near!r}?" if near else f"There are: {', '.join(RUNNERS)}."
        raise UsageError(f"--runner={given} is not a runner of Apache Beam. {hint}")
    for flag, reason in _TOGETHER.items():
        if flag_values[flag].present:
            raise UsageError(f"--{flag} cannot go with --runner: {reason}.")
    words = [word for text in flag_values.beam_options or () for word in _words(text)]
    for word in words:
        if word.split("=")[0] == "--runner":
            raise UsageError(f"--beam_options names a runner, {word!r}: write --runner=NAME next to it instead.")
    return Runner(name=name, options=tuple(words))


def check_formats(files: Iterable[Path]) -> None:
    """Rejects files whose columns are only known when all of them have been looked at.

    Raises:
      UsageError: Naming the first one.
    """
    for file in files:
        if format_of(file) not in _FORMATS:
            raise UsageError(
                f"--runner reads CSV, TSV, Parquet and Arrow, not {file}: which columns there are, and which of them "
                "are lists, is found out over all files of its kind together. Convert without --runner."
            )


def check_paths(files: Iterable[Path], runner: Runner) -> None:
    """Rejects files that workers of other machines would look for in folders of their own.

    Raises:
      UsageError: Naming the first one.
    """
    for file in files:
        if runner.name != "direct" and not file.is_absolute():
            raise UsageError(
                f"--runner={runner.name} may read {file} on other machines, whose working folders are others: give "
                "absolute paths."
            )


def _words(text: str) -> list[str]:
    try:
        return shlex.split(text)
    except ValueError as error:
        raise UsageError(f"--beam_options={text} cannot be divided into options: {error}.") from None
