"""The wiring that flags describe, where it depends on the data: towers that tasks share, scenarios and domains."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from fullrank.data.schema import Schema
from fullrank.models import Wiring, domain_tasks, group_by_volume, scenario_tasks
from fullrank.models.readers import Tasks
from fullrank.trainers.config import ModelConfig
from fullrank.trainers.models_by_name import build_wiring


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
    """The tasks that share each tower, by the number of positives that each has for an example of the data."""
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
    """The ids as the scenario column holds them."""
    dtypes = {column.name: column.dtype for column in schema.input_columns}
    if dtypes.get(config.scenario or "") != "int64":
        return config.scenarios
    try:
        return tuple(int(scenario) for scenario in config.scenarios)
    except ValueError as error:
        raise ValueError(
            f"--scenarios={','.join(config.scenarios)}: column {config.scenario!r} holds whole numbers."
        ) from error
