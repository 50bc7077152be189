"""The attention to behaviours by their age, from weights written by hand."""

from __future__ import annotations

import types
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from fullrank.data.planted.interest import Interest
from fullrank.data.planted.world import PlantedWorld, Task, World
from fullrank.trainers.controls.attention_map import AGES_HOURS, attention_map

NOW = 1_704_067_200
COLUMNS = {"behaviours": "history_category", "target": "category", "times": "history_time", "now": "timestamp"}


@pytest.fixture(scope="module")
def schema() -> Any:
    world = World(
        mechanisms={"interest": Interest(categories=6, length=3, topics=2)},
        tasks={"click": Task(weights={"interest/count": 1.0})},
    )
    return PlantedWorld(world, seed=1).schema(train_rows=100)


def model_of(schema: Any, weights: list[list[float]] | None) -> Any:
    """A stand-in whose only sequence has this attention, or none."""

    def attention(lookups: Mapping[str, tf.Tensor], elapsed: Any) -> dict[str, tuple[tf.Tensor, tf.Tensor]]:
        return {} if weights is None else {"history": (tf.constant(weights), lookups["mask"])}

    def encoder(batch: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        return {"mask": batch["history_category"] >= 0}

    inputs = {"set0": types.SimpleNamespace(attention=attention)}
    return types.SimpleNamespace(schema=schema, trunk=types.SimpleNamespace(encoder=encoder, inputs_of_sets=inputs))


def batch_of(categories: list[int], histories: list[list[int]], ages: list[list[float]]) -> dict[str, tf.Tensor]:
    past = np.array(histories)
    times = np.where(past >= 0, NOW - np.round(np.array(ages) * 3600.0).astype(np.int64), -1)
    return {
        "category": tf.constant(categories, tf.int64),
        "history_category": tf.constant(past),
        "history_time": tf.constant(times),
        "timestamp": tf.constant([NOW] * len(categories), tf.int64),
    }


def test_attention_is_relative_to_a_plain_mean_of_the_same_behaviours(schema: Any) -> None:
    # Ages .05 and 3 hours belong to "up to .1" and "up to 4"; the last place of the second history is empty.
    batch = batch_of([1, 2], [[1, 0, 1], [2, 0, -1]], [[300.0, 3.0, 0.05], [3.0, 3.0, 0.0]])
    model = model_of(schema, [[0.2, 0.2, 0.6], [0.9, 0.1, 0.0]])
    found = {each["up_to_hours"]: each for each in attention_map(model, [batch], **COLUMNS)}
    assert list(found) == list(AGES_HOURS)
    assert found[0.1]["alike"] == pytest.approx(3 * 0.6)
    assert found[0.1]["others"] is None
    assert found[4.0]["alike"] == pytest.approx(2 * 0.9)
    assert found[4.0]["others"] == pytest.approx((3 * 0.2 + 2 * 0.1) / 2)
    assert found[336.0]["alike"] == pytest.approx(3 * 0.2)
    assert found[1.0] == {"up_to_hours": 1.0, "alike": None, "others": None}


def test_rows_of_all_batches_count(schema: Any) -> None:
    batches = [batch_of([1], [[1, 0, 0]], [[age, 30.0, 30.0]]) for age in (1.5, 1.7)]
    found = attention_map(model_of(schema, [[0.5, 0.25, 0.25]]), batches, **COLUMNS)
    assert [each["alike"] for each in found if each["up_to_hours"] == 2.0] == [pytest.approx(1.5)]


def test_a_model_that_attends_to_nothing_has_no_map(schema: Any) -> None:
    assert attention_map(model_of(schema, None), [batch_of([1], [[1, 0, 0]], [[1.0] * 3])], **COLUMNS) == []
