"""As much of Apache Beam as the pipelines of a conversion use: collections are lists, and steps run at once.

It has the operators of Beam's Python package and its `PipelineOptions`, for tests of what the pipelines connect. What
runners do, such as sending elements to other machines, is tested with Apache Beam itself.
"""

from __future__ import annotations

import argparse
import sys
import types
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import pytest

KNOWN = "direct_num_workers"


class Collection(list[Any]):
    """The elements between two steps."""

    def __or__(self, step: Step) -> Collection:
        return Collection(step.apply(self))


class Step:
    """A step, which `"label" >> step` names."""

    def __init__(self, apply: Callable[[list[Any]], Iterable[Any]]) -> None:
        self.apply = apply

    def __rrshift__(self, label: str) -> Step:
        return self


class Pipeline:
    """A pipeline that remembers what it was made with."""

    made: list[tuple[str, PipelineOptions]] = []  # noqa: RUF012

    def __init__(self, *, runner: str, options: PipelineOptions) -> None:
        self.made.append((runner, options))

    def __enter__(self) -> Pipeline:
        return self

    def __exit__(self, *error: object) -> None:
        pass

    def __or__(self, step: Step) -> Collection:
        return Collection(step.apply([]))


class PipelineOptions:
    """Options of the command line, one of which is known and takes a whole number."""

    def __init__(self, flags: Sequence[str]) -> None:
        parser = argparse.ArgumentParser(prog="beam")
        parser.add_argument(f"--{KNOWN}", type=int)
        known, rest = parser.parse_known_args(list(flags))
        self.known = {name: value for name, value in vars(known).items() if value is not None}
        self.rest = dict(word.removeprefix("--").split("=") for word in rest)

    def get_all_options(self, *, drop_default: bool, retain_unknown_options: bool = False) -> dict[str, Any]:
        assert drop_default
        return {**self.known, **self.rest} if retain_unknown_options else self.known


def install(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, PipelineOptions]]:
    """Makes it what `import apache_beam` finds, and returns the runner and options of each pipeline made since."""
    beam: Any = types.ModuleType("apache_beam")
    options: Any = types.ModuleType("apache_beam.options.pipeline_options")
    beam.Pipeline, options.PipelineOptions = Pipeline, PipelineOptions
    beam.Create = lambda values: Step(lambda _: list(values))
    beam.Reshuffle = lambda: Step(lambda elements: reversed(elements))
    beam.Map = lambda step, *given: Step(lambda elements: [step(each, *given) for each in elements])
    beam.FlatMap = lambda step, *given: Step(lambda elements: [e for each in elements for e in step(each, *given)])
    beam.GroupByKey = lambda: Step(_grouped)
    beam.CombinePerKey = lambda join: Step(lambda elements: [(key, join(each)) for key, each in _grouped(elements)])
    for name, module in (
        ("apache_beam", beam),
        ("apache_beam.options", types.ModuleType("apache_beam.options")),
        ("apache_beam.options.pipeline_options", options),
    ):
        monkeypatch.setitem(sys.modules, name, module)
    monkeypatch.setattr(Pipeline, "made", [])
    return Pipeline.made


def _grouped(elements: Iterable[tuple[Any, Any]]) -> list[tuple[Any, list[Any]]]:
    groups: dict[Any, list[Any]] = {}
    for key, value in elements:
        groups.setdefault(key, []).append(value)
    return list(groups.items())
