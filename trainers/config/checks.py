"""Checks which settings of a model are compatible with `--model`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final, Literal

from fullrank.trainers.config.distribution import DistributionConfig
from fullrank.trainers.config.model import ModelConfig

ONE_SET: Final = ("single", "shared_bottom", "omoe", "mmoe", "ple")
WITH_LEVELS: Final = ("ple", "stem")
UNCERTAINTY: Final = "uncertainty"


def check_paradigm(config: ModelConfig) -> None:
    """Rejects settings that contradict `--model`.

    Raises:
      ValueError: If a setting does; the message names the flags.
    """
    model = config.model
    if model in ONE_SET and len(config.widths) > 1:
        raise ValueError(
            f"--model={model} has one embedding set, but --widths gives {len(config.widths)}: "
            f"{','.join(map(str, config.widths))}. Give one width, or take --model=me, me_mmoe, ame or stem."
        )
    if config.levels > 1 and model not in WITH_LEVELS:
        raise ValueError(
            f"--levels={config.levels} takes effect only with --model=ple or stem. Received: --model={model}."
        )
    if config.gate == "mean" and model == "omoe":
        raise ValueError("--gate=mean leaves --model=omoe no gate to share: use --model=shared_bottom.")
    _check_scenarios(config)
    _check_auxiliary(config)
    table_widths(config.table_widths)
    task_weights(config.task_weights)


def check_distribution(config: DistributionConfig, model: ModelConfig) -> None:
    """Rejects models whose training keeps what it has seen of all examples in a way that replicas cannot share.

    Raises:
      ValueError: If the model is such a one.
    """
    if config.strategy == "none":
        return
    if model.head in ("gp", "rff_gp", "laplace"):
        raise ValueError(
            f"--strategy={config.strategy} cannot train --head={model.head}: its inducing points or its precision come "
            "from all examples of a step or a pass, of which each replica or worker sees a part. Take --head=logit or "
            "dropout, or --strategy=none."
        )
    if model.group_places:
        raise ValueError(
            f"--strategy={config.strategy} cannot train --group_places={','.join(model.group_places)}: codes start "
            "from a whole batch, and unused ones start again from it, of which each replica or worker sees a part. "
            "Leave it out, or take --strategy=none."
        )


def _check_auxiliary(config: ModelConfig) -> None:
    if config.model != "stem_al":
        if config.auxiliary_tasks:
            raise ValueError(
                f"--auxiliary_tasks={','.join(config.auxiliary_tasks)} takes effect only with --model=stem_al: "
                f"take it, or name them in --tasks of --model={config.model}."
            )
        return
    if config.scenario is not None:
        _check_domains(config)
        return
    if not config.auxiliary_tasks:
        raise ValueError(
            "--model=stem_al needs --auxiliary_tasks, the labels that help its one task; or --scenario and "
            "--scenarios, for its label in other scenarios to help."
        )
    if len(config.tasks) != 1:
        raise ValueError(
            f"--model=stem_al needs one task in --tasks, and the others in --auxiliary_tasks. "
            f"Received: {','.join(config.tasks) or 'none'}."
        )
    if len({*config.tasks, *config.auxiliary_tasks}) != 1 + len(config.auxiliary_tasks):
        raise ValueError(
            f"--auxiliary_tasks={','.join(config.auxiliary_tasks)} names a task twice, or --tasks={config.tasks[0]}."
        )
    _check_no_towers(config)


def _check_domains(config: ModelConfig) -> None:
    if config.auxiliary_tasks:
        raise ValueError(
            f"--model=stem_al is helped by --auxiliary_tasks={','.join(config.auxiliary_tasks)} or by the scenarios "
            f"--scenarios={','.join(config.scenarios)}, not by both: an example of the first scenario would train "
            "auxiliary towers, too. Give one of them."
        )
    if len(config.tasks) > 1:
        raise ValueError(
            f"--model=stem_al with --scenario has one task, whose label in the other scenarios helps it. "
            f"Received: --tasks={','.join(config.tasks)}."
        )
    if len(config.scenarios) < 2:
        raise ValueError(
            "--model=stem_al with --scenario needs the main scenario and at least one that helps it. "
            f"Received: --scenarios={','.join(config.scenarios)}."
        )
    _check_no_towers(config)


def _check_no_towers(config: ModelConfig) -> None:
    if config.towers is not None:
        raise ValueError(
            f"--towers={config.towers} shares towers between tasks, but with --model=stem_al each task needs its own: "
            "an export leaves out the auxiliary ones. Leave --towers out."
        )


def _check_scenarios(config: ModelConfig) -> None:
    if (config.scenario is None) != (not config.scenarios):
        raise ValueError(
            "--scenario, the column, and --scenarios, its ids, go together. "
            f"Received: --scenario={config.scenario or 'none'} --scenarios={','.join(config.scenarios) or 'none'}."
        )
    if len(set(config.scenarios)) != len(config.scenarios):
        raise ValueError(f"--scenarios names a scenario twice. Received: {','.join(config.scenarios)}.")


def task_weights(given: Sequence[str]) -> tuple[tuple[str, float], ...] | Literal["uncertainty"]:
    """Reads `--task_weights`.

    Raises:
      ValueError: If an entry is not task:weight, or a task is named twice.
    """
    if tuple(given) == (UNCERTAINTY,):
        return "uncertainty"
    return _weights(given, flag="task_weights", of="task", example=f"buy:5, nor {UNCERTAINTY} alone")


def field_penalties(given: Sequence[str]) -> tuple[tuple[str, float], ...]:
    """Reads `--field_l2`.

    Raises:
      ValueError: If an entry is not feature:weight, or a feature is named twice.
    """
    return _weights(given, flag="field_l2", of="feature", example="user_id:0.01")


def table_widths(given: Sequence[str], *, widths: Sequence[int] | None = None) -> tuple[tuple[str, int], ...]:
    """Reads `--table_widths`.

    Args:
      given: The flag.
      widths: Widths of the embedding sets, if they are known.

    Raises:
      ValueError: If an entry is not feature:width, a feature is named twice, or no set is wider.
    """
    pairs = []
    for text in given:
        name, _, width = text.rpartition(":")
        if not name or not width.isdecimal() or not int(width):
            raise ValueError(f"--table_widths: {text!r} is not feature:width, such as user_id:4.")
        if widths is not None and int(width) >= max(widths):
            wide = ", ".join(map(str, widths))
            raise ValueError(f"--table_widths: {text!r} is narrower than no embedding set. Their widths: {wide}.")
        pairs.append((name, int(width)))
    if len(dict(pairs)) != len(pairs):
        raise ValueError(f"--table_widths names a feature twice. Received: {','.join(given)}.")
    return tuple(pairs)


def _weights(given: Sequence[str], *, flag: str, of: str, example: str) -> tuple[tuple[str, float], ...]:
    pairs = []
    for text in given:
        name, _, weight = text.rpartition(":")
        try:
            number = float(weight)
        except ValueError:
            number = math.nan
        if not name or not 0 <= number < math.inf:
            raise ValueError(f"--{flag}: {text!r} is not {of}:weight, such as {example}.")
        pairs.append((name, number))
    if len(dict(pairs)) != len(pairs):
        raise ValueError(f"--{flag} names a {of} twice. Received: {','.join(given)}.")
    return tuple(pairs)
