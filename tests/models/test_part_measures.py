"""Measures of a model's parts: by hand, and against small changes of each part."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras

from fullrank import models
from fullrank.models.part_measures import attention_spread, measure_parts

TASKS = ("click", "buy")


@pytest.fixture
def rankers(every_kind: Any) -> Callable[[models.Wiring], models.Ranker]:
    """Builds a ranker, always from the same seed."""
    schema, vocabularies = every_kind

    def build(wiring: models.Wiring) -> models.Ranker:
        keras.utils.set_random_seed(3)
        return models.Ranker(
            schema,
            wiring,
            models.RankerOptions(tower=(4,), initial_scale=0.5, unknown_share=0.0),
            vocabularies=vocabularies,
        )

    return build


def test_attention_spread_by_hand() -> None:
    # Two even weights: 1. One weight of two: 0. One behaviour, and none: left out. (.9, .1): .325083 / log 2 = .468996.
    weights = tf.constant([[0.5, 0.5, 0.0], [1.0, 0.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 0.0], [0.9, 0.1, 0.0]])
    mask = tf.constant([[1, 1, 0], [1, 1, 0], [1, 0, 0], [0, 0, 0], [1, 1, 0]]) > 0
    np.testing.assert_allclose(attention_spread(weights, mask), (1 + 0 + 0.468996) / 3, rtol=1e-5)
    assert math.isnan(attention_spread(weights[2:4], mask[2:4]))


def test_parts_of_a_model(rankers: Any, make_batch: Any) -> None:
    model = rankers(models.me_mmoe(tasks=TASKS, widths=(4, 6)))
    batch = make_batch(size=16)
    found = {name: float(value) for name, value in measure_parts(model, batch).items()}
    shares = {name: value for name, value in found.items() if name.startswith("share/")}
    assert sum(shares.values()) == pytest.approx(1.0, abs=1e-5)
    for name in ("set0", "set1"):
        assert {f"share/{name}/{part}" for part in ("history", "fields/item", "fields/price")} <= set(shares)
        assert 0.0 < found[f"attention/{name}/history"] <= 1.0
    fields, side = model.trunk.of_sets(batch)["set1"]
    read = model.trunk.inputs_of_sets["set1"]
    place = read.field_names.index("item")
    assert found["rms/set1/fields/item"] == pytest.approx(np.sqrt(np.mean(fields[:, place].numpy() ** 2)), rel=1e-5)
    history = side[:, : read.side_widths[0]].numpy()
    assert found["rms/set1/history"] == pytest.approx(np.sqrt(np.mean(history**2)), rel=1e-5)
    gates = model.inside(batch).gates.numpy()
    first = model.wiring.experts[0].name
    assert found[f"gate/click/{first}"] == pytest.approx(gates[:, 0, 0].mean(), rel=1e-5)
    entropy = -(gates * np.log(gates)).sum(axis=2).mean(axis=0) / np.log(gates.shape[2])
    assert found["gate/buy"] == pytest.approx(entropy[1], rel=1e-5)
    for place, spec in enumerate(model.wiring.experts):
        output = model.trunk(batch).experts[:, place].numpy()
        assert found[f"expert/{spec.name}"] == pytest.approx(np.sqrt(np.mean(output**2)), rel=1e-4)
        assert found[f"silent/{spec.name}"] == pytest.approx(np.mean((output == 0).all(axis=0)))


def test_share_is_what_a_small_change_shows(rankers: Any, make_batch: Any) -> None:
    model = rankers(models.single(tasks=("click",), width=4, experts=("crossnet",)))
    batch = make_batch(size=8)
    found = {name: float(value) for name, value in measure_parts(model, batch).items()}
    fields, side = model.trunk.of_sets(batch)["set0"]
    read = model.trunk.inputs_of_sets["set0"]

    def logits(fields: Any, side: Any) -> Any:
        return model.logits_of(model.trunk.mixed({"set0": (fields, side)}), batch).numpy()[:, 0].astype(np.float64)

    before, step, effects = logits(fields, side), 0.002, {}
    for place, name in enumerate(read.field_names):
        scale = 1.0 - step * np.eye(len(read.field_names), dtype=np.float32)[place][:, np.newaxis]
        effects[f"fields/{name}"] = np.abs(logits(fields * scale, side) - before).mean()
    ends = np.cumsum((0, *read.side_widths))
    for name, start, end in zip(read.side_names, ends, ends[1:], strict=False):
        scale = np.ones(side.shape[1], np.float32)
        scale[start:end] -= step
        effects[name] = np.abs(logits(fields, side * scale) - before).mean()
    total = sum(effects.values())
    for name, effect in effects.items():
        assert found[f"share/set0/{name}"] == pytest.approx(effect / total, rel=0.1, abs=2e-3), name
