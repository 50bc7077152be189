"""Seeds of parts: none repeats the numbers of another part, or of a seed that was counted up."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from fullrank.layers import GaussianProcessHead, RandomFeatureGP
from fullrank.layers.checks.arguments import derived_seed
from fullrank.models.serving.uncertain import thompson_answers

ROWS = 4000
SEEDS = [(a, b) for a in range(3) for b in range(3)]


class Model:
    """Tasks whose logits are standard normal, so that a draw is its noise."""

    def __init__(self, *tasks: str) -> None:
        self.tasks = tasks

    def logit_distributions(self, batch: Mapping[str, tf.Tensor]) -> dict[str, tuple[tf.Tensor, tf.Tensor]]:
        """Mean 0 and variance 1."""
        return {task: (tf.zeros([ROWS]), tf.ones([ROWS])) for task in self.tasks}


def noise(seed: tuple[int, int], *tasks: str) -> dict[str, np.ndarray[Any, Any]]:
    answers = thompson_answers(Model(*tasks), {}, tf.constant(seed, tf.int32))
    return {task: np.log(p.numpy() / (1 - p.numpy())) for task, p in answers.items()}


def test_draws_of_tasks_and_of_seeds_that_count_up_are_uncorrelated() -> None:
    drawn = [values for seed in SEEDS for values in noise(seed, "click", "like", "share").values()]
    correlations = np.corrcoef(drawn) - np.eye(len(drawn))
    # 351 pairs of 27 draws; each correlation has deviation 1 / sqrt(4,000).
    assert np.abs(correlations).max() < 5 / np.sqrt(ROWS)


def test_a_draw_depends_on_its_own_task_alone() -> None:
    alone, among = noise((1, 2), "like"), noise((1, 2), "click", "like")
    np.testing.assert_array_equal(alone["like"], among["like"])
    np.testing.assert_array_equal(noise((1, 2), "like")["like"], alone["like"])


def test_derived_seeds_differ_and_repeat() -> None:
    parts: tuple[str | int, ...] = ("inducing", "location", 0, 1, 2, -1)
    found = {derived_seed(seed, part) for seed, part in itertools.product(range(-50, 50), parts)}
    assert len(found) == 100 * len(parts)
    assert all(0 <= seed < 2**31 for seed in found)
    assert derived_seed(3, "location") == derived_seed(3, "location")
    assert derived_seed(3, "a", 1) != derived_seed(3, "a", 2)
    assert derived_seed(None, "location") is None


@pytest.mark.parametrize(
    "make",
    [
        lambda seed: GaussianProcessHead(400, base_rate=0.1, features=1, seed=seed),
        lambda seed: RandomFeatureGP(400, base_rate=0.1, seed=seed),
    ],
)
def test_parts_of_heads_whose_seeds_count_up_are_uncorrelated(make: Callable[[int], Any]) -> None:
    drawn = []
    for seed in range(4):
        head = make(seed)
        head(tf.zeros([1, 1]))
        drawn += [w.numpy().ravel() for w in head.weights if w.shape.num_elements() == 400 and np.ptp(w.numpy()) > 0]
    assert len(drawn) >= 8
    correlations = np.corrcoef(drawn) - np.eye(len(drawn))
    # At most 66 pairs; each correlation has deviation 1 / 20.
    assert np.abs(correlations).max() < 4.5 / 20
