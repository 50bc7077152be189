"""The levels of a wiring against NumPy, an expert, a gate and an example at a time."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from fullrank import models
from fullrank.models.mixture import Mixture
from fullrank.models.wirings.pruning import without_tasks

TASKS = ("click", "buy", "like")
WIRINGS = (
    models.ple(tasks=TASKS, width=4, levels=3, expert_width=5),
    models.ple(tasks=TASKS, width=4, levels=2, experts=(("flat", 0), ("flat", 2), ("fm", 2)), expert_width=5),
    models.ple(tasks=TASKS, width=4, levels=2, expert_width=5, gate="mean"),
    without_tasks(models.ple(tasks=TASKS, width=4, levels=2, expert_width=5), tasks=("click",)),
    models.stem(tasks=TASKS, widths=(4, 3, 2, 1), levels=2, expert_width=5),
    models.stem_al(main="click", auxiliary=("buy", "like"), widths=(4, 3), expert_width=5),
    models.omoe(tasks=TASKS, width=4, expert_width=5),
    models.mmoe(tasks=("click", ("buy", "like")), width=4, expert_width=5),
)


def reference(
    mixture: Mixture, wiring: models.Wiring, experts: np.ndarray[Any, Any], means: dict[str, np.ndarray[Any, Any]]
) -> list[np.ndarray[Any, Any]]:
    """What each tower reads of one example: experts `[E, H]`, means set -> `[d]`."""
    streams: dict[str, np.ndarray[Any, Any]] = {}
    for stage, (readers, specs) in enumerate(wiring.stages):
        if stage:
            kernel, bias = (weight.numpy() for weight in mixture.levels[stage - 1].weights)
            experts = np.stack(
                [
                    np.maximum(streams[spec.reads] @ kernel[e] + bias[e], 0)
                    for e, spec in enumerate(specs)
                    if isinstance(spec, models.StackedExpert)
                ]
            )
        gate, mixed = mixture.gates[stage], {}
        for row, reader in enumerate(readers):
            sees = dict(zip(means, wiring.access_to_sets(reader), strict=True)) if stage == 0 else {}
            seen = (
                streams[reader.task]
                if stage
                else np.concatenate([mean * (sees[name] != "off") for name, mean in means.items()])
            )
            scores = np.zeros(len(specs))
            if gate.weights:
                kernel, bias = (weight.numpy() for weight in gate.weights)
                first = 0 if wiring.gate == "shared" else row * len(specs)
                scores = (seen @ kernel + bias)[first : first + len(specs)]
            shares = np.exp(scores) * [entry != "off" for entry in reader.access]
            mixed[reader.task] = (shares / shares.sum()) @ experts
        streams = mixed
    return list(streams.values())


@pytest.mark.parametrize("wiring", WIRINGS, ids=lambda wiring: wiring.paradigm)
def test_levels_and_gates_equal_the_reference(wiring: models.Wiring) -> None:
    mixture = Mixture(wiring, name="mixture")
    experts = tf.random.stateless_normal([6, len(wiring.experts), 5], (1, 2))
    means = {s.name: tf.random.stateless_normal([6, s.width], (n, 4)) for n, s in enumerate(wiring.sets)}
    mixture(experts, means)
    for number, weight in enumerate(mixture.trainable_weights):
        weight.assign_add(tf.random.stateless_normal(weight.shape, (number, 6), stddev=0.3))
    output = mixture(experts, means).numpy()
    for example in range(6):
        of_example = {name: mean.numpy()[example] for name, mean in means.items()}
        expected = reference(mixture, wiring, experts.numpy()[example], of_example)
        np.testing.assert_allclose(output[example], expected, rtol=1e-4, atol=1e-5)


def test_a_level_is_one_product_and_not_one_an_expert() -> None:
    def operations(tasks: int) -> int:
        wiring = models.ple(tasks=[f"t{n}" for n in range(tasks)], width=4, levels=3, expert_width=5)
        mixture = Mixture(wiring, name="mixture")
        function = tf.function(lambda experts, mean: mixture(experts, {"set0": mean}))
        graph = function.get_concrete_function(tf.zeros([2, len(wiring.experts), 5]), tf.zeros([2, 4])).graph
        return len(graph.get_operations())

    # A product per task would add 20 operations per task and level.
    assert operations(30) < operations(3) + 10
