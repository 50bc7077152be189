"""The wiring that flags describe: from the name of `--model`, and from the data (shared towers, scenarios, domains).

A new paradigm needs one entry here, its name in `ModelConfig.model`, and flags for its own settings.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from fullrank import models
from fullrank.data.files.printable import text_of
from fullrank.data.schema.features import Sparse
from fullrank.data.schema.schema import Schema
from fullrank.data.schema.vocabulary import read_vocabulary
from fullrank.models import Wiring, domain_tasks, group_by_volume, scenario_tasks
from fullrank.models.wirings.readers import Tasks
from fullrank.trainers.config.model import ModelConfig

_SHOWN: Final = 10


def _single(config: ModelConfig, tasks: Tasks) -> Wiring:
    return models.single(tasks=tasks, **_one_set(config), **_mixed(config))


def _me(config: ModelConfig, tasks: Tasks) -> Wiring:
    return models.multi_embedding(tasks=tasks, **_sets(config), **_mixed(config))


def _shared_bottom(config: ModelConfig, tasks: Tasks) -> Wiring:
    return models.shared_bottom(tasks=tasks, **_one_set(config), expert_width=config.expert_width)


def _omoe(config: ModelConfig, tasks: Tasks) -> Wiring:
    return models.omoe(tasks=tasks, **_one_set(config), expert_width=config.expert_width)


def _mmoe(config: ModelConfig, tasks: Tasks) -> Wiring:
    return models.mmoe(tasks=tasks, **_one_set(config), **_mixed(config))


def _ple(config: ModelConfig, tasks: Tasks) -> Wiring:
    given: dict[str, Any] = {"width": config.widths[0]} if config.widths else {}
    return models.ple(tasks=tasks, levels=config.levels, experts=_pairs(config) or None, **given, **_mixed(config))


def _me_mmoe(config: ModelConfig, tasks: Tasks) -> Wiring:
    return models.me_mmoe(tasks=tasks, **_sets(config), **_mixed(config))


def _ame(config: ModelConfig, tasks: Tasks) -> Wiring:
    return models.ame(tasks=tasks, **_sets(config), **_mixed(config))


def _stem(config: ModelConfig, tasks: Tasks) -> Wiring:
    return models.stem(tasks=tasks, levels=config.levels, **_sets(config), **_mixed(config))


def _stem_al(config: ModelConfig, tasks: Tasks) -> Wiring:
    main, *auxiliary = (str(task) for task in tasks)
    return models.stem_al(main=main, auxiliary=auxiliary, **_sets(config), **_mixed(config))


MODELS: Final[Mapping[str, Callable[[ModelConfig, Tasks], Wiring]]] = {
    "single": _single,
    "me": _me,
    "shared_bottom": _shared_bottom,
    "omoe": _omoe,
    "mmoe": _mmoe,
    "ple": _ple,
    "me_mmoe": _me_mmoe,
    "ame": _ame,
    "stem": _stem,
    "stem_al": _stem_al,
}


def build_wiring(config: ModelConfig, *, tasks: Tasks) -> Wiring:
    """The wiring that the flags describe.

    Args:
      config: Configuration of the model.
      tasks: The tasks; several in one entry share a tower. For stem_al, the main task, then the auxiliary ones.

    Raises:
      ValueError: If the experts or widths do not fit.
    """
    return MODELS[config.model](config, tasks)


def _mixed(config: ModelConfig) -> dict[str, Any]:
    return {"expert_width": config.expert_width, "gate": config.gate}


def _sets(config: ModelConfig) -> dict[str, Any]:
    """Widths and experts as given; the wiring's defaults apply to the others."""
    given = {"widths": config.widths, "experts": _pairs(config)}
    return {name: value for name, value in given.items() if value}


def _one_set(config: ModelConfig) -> dict[str, Any]:
    for text, (_, place) in zip(config.experts, _pairs(config), strict=True):
        if place != 0:
            raise ValueError(f"--experts: {text!r} reads set {place}, but --model={config.model} has only set 0.")
    given = {"width": config.widths[:1], "experts": [[kind for kind, _ in _pairs(config)]] if config.experts else []}
    return {name: value[0] for name, value in given.items() if value}


def _pairs(config: ModelConfig) -> Sequence[tuple[str, int]]:
    return [_expert(text) for text in config.experts]


def _expert(text: str) -> tuple[str, int]:
    kind, _, place = text.partition(":")
    if not kind or not (place or "0").isdecimal():
        raise ValueError(f"--experts: {text!r} is not interaction:set, such as fm:0.")
    return kind, int(place or 0)


def wiring_of_data(config: ModelConfig, schema: Schema) -> Wiring:
    """Builds the wiring for the tasks and the scenarios of a schema.

    Raises:
      ValueError: If the flags do not fit the schema.
    """
    tasks = (config.tasks or config.chain or (schema.labels[0].name,)) + config.auxiliary_tasks
    if config.scenario is None:
        return build_wiring(config, tasks=_grouped(tasks, schema, towers=config.towers))
    scenarios = _scenarios(config, schema)
    if config.model == "stem_al":
        of_scenarios: Tasks = domain_tasks(tasks[0], scenarios=scenarios)
    elif config.towers is None:
        of_scenarios = scenario_tasks(tasks, scenarios=scenarios)
    else:
        groups = [(g,) if isinstance(g, str) else g for g in _grouped(tasks, schema, towers=config.towers)]
        of_scenarios = [scenario_tasks(group, scenarios=(s,)) for s in scenarios for group in groups]
    return dataclasses.replace(build_wiring(config, tasks=of_scenarios), scenarios=scenarios)


def _grouped(tasks: Sequence[str], schema: Schema, *, towers: int | None) -> Tasks:
    """The tasks that share each tower, grouped by their numbers of positives in the data."""
    if towers is None:
        return tasks
    if towers > len(tasks):
        raise ValueError(f"--towers={towers}: there are only {len(tasks)} tasks, {', '.join(tasks)}.")
    volumes = {}
    for task in tasks:
        label = schema.label(task)
        rate = label.mean if label.type == "binary" else label.positive
        volumes[task] = (rate or 0.0) * (1.0 if label.observed is None else label.observed)
    return group_by_volume(volumes, towers=towers)


def _scenarios(config: ModelConfig, schema: Schema) -> tuple[int | str, ...]:
    """The ids as the scenario column holds them.

    Raises:
      ValueError: If an id is not a number although the column holds numbers, or the data does not contain it.
    """
    dtypes = {column.name: column.dtype for column in schema.input_columns}
    scenarios: tuple[int | str, ...] = config.scenarios
    if dtypes.get(config.scenario or "") == "int64":
        try:
            scenarios = tuple(int(scenario) for scenario in config.scenarios)
        except ValueError as error:
            raise ValueError(
                f"--scenarios={','.join(config.scenarios)}: column {config.scenario!r} holds whole numbers."
            ) from error
    _check_known(config, schema, scenarios=scenarios)
    return scenarios


def _check_known(config: ModelConfig, schema: Schema, *, scenarios: tuple[int | str, ...]) -> None:
    """Rejects ids that no example of the data can have; hashed ids cannot be checked."""
    feature = next((f for f in schema.features if isinstance(f, Sparse) and f.name == config.scenario), None)
    owner = None if feature is None else schema.table(feature.name)
    if owner is None or owner.ids.kind == "hash":
        return
    if owner.ids.kind == "identity":
        unknown = [id_ for id_ in scenarios if not (isinstance(id_, int) and 0 <= id_ < owner.ids.size)]
        known = f"0 to {owner.ids.size - 1:,}"
    else:
        vocabulary = read_vocabulary(schema=schema, feature=owner.name)
        texts = [text_of(i) if isinstance(i, bytes) else i for i in vocabulary.tolist()]
        unknown = [id_ for id_ in scenarios if id_ not in texts]
        more = f" and {len(texts) - _SHOWN:,} more" if len(texts) > _SHOWN else ""
        known = ", ".join(map(str, texts[:_SHOWN])) + more
    if unknown:
        raise ValueError(
            f"--scenarios={','.join(config.scenarios)}: feature {config.scenario!r} has no id "
            f"{', '.join(map(str, unknown))} in the schema. Known: {known}."
        )
