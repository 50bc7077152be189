"""A ranker on batches that hold histories once per request: all that it computes is what it does on flat ones."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import tensorflow as tf
from request_log import SCHEMA, write_both

from fullrank import data, models
from fullrank.data.records.per_request import PerRequest, shared_histories
from fullrank.layers import TemporalInterest
from fullrank.trainers import evaluate, predict, train


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """One log of 40 requests, grouped and flat."""
    return write_both(tmp_path_factory.mktemp("requests"), requests=40)


def test_histories_are_shared_if_their_times_and_the_event_time_are() -> None:
    assert shared_histories(SCHEMA, per_request=("user", "seen", "at", "time")) == {"seen", "at"}
    assert shared_histories(SCHEMA, per_request=("user", "seen", "at")) == frozenset()
    assert shared_histories(SCHEMA, per_request=("user", "seen", "time")) == frozenset()
    assert shared_histories(SCHEMA, per_request=()) == frozenset()


@pytest.mark.parametrize("encoder", ["tim", "din", "self_attention", "mean"])
def test_loss_and_gradients_are_those_of_the_flat_batch(both: tuple[Path, Path], encoder: Any) -> None:
    grouped, flat = both
    schema = data.read_schema(flat)
    options = models.RankerOptions(sequence=encoder, dropout=0.0, unknown_share=0.0, tower=(4,))
    model = models.Ranker(schema, models.single(width=4, experts=("gwpfm",), expert_width=4), options)
    batches = [
        next(iter(data.read_records(grouped, batch_size=60, histories="per_request"))),
        next(iter(data.read_records(flat, batch_size=60))),
    ]
    assert [name for name, value in batches[0].items() if isinstance(value, PerRequest)] == ["seen", "at"]
    np.testing.assert_array_equal(batches[0]["seen"].of_rows(), batches[1]["seen"])
    found = []
    for batch in batches:
        with tf.GradientTape() as tape:
            loss = model.compute_loss(batch, training=True)
        gradients = tape.gradient(loss, model.trainable_variables, unconnected_gradients="zero")
        found.append([loss, model(batch)["click"], *map(tf.convert_to_tensor, gradients)])
    for one, other in zip(*found, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)


@pytest.mark.slow
def test_commands_give_the_same_on_both(
    both: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    traced: list[str] = []
    of_requests = TemporalInterest.of_requests

    def counted(layer: TemporalInterest, *inputs: tf.Tensor, owner: tf.Tensor) -> tf.Tensor:
        traced.append(directory.name)
        return of_requests(layer, *inputs, owner=owner)

    monkeypatch.setattr(TemporalInterest, "of_requests", counted)
    flags = ["--experts=gwpfm", "--widths=4", "--hidden=4", "--dropout=0", "--unknown_share=0"]
    flags += ["--validation_split="]
    flags += ["--noshuffle", "--epochs=2", "--batch_size=50", "--log_steps=1", "--progress=none", "--model=single"]
    losses = {}
    for directory in both:
        run = tmp_path / f"run-{directory.name}"
        train.run(["train", f"--data={directory}", f"--output={run}", *flags])
        lines = map(json.loads, (run / "metrics.jsonl").read_text(encoding="utf-8").splitlines())
        losses[directory.name] = [line["loss"] for line in lines if "loss" in line]
        evaluate.run(["evaluate", f"--run={run}", "--split=train"])
        predict.run(["predict", f"--run={run}", "--split=train", f"--output={tmp_path}/{directory.name}.parquet"])
    assert set(traced) == {"grouped"}
    assert len(losses["flat"]) > 6
    np.testing.assert_allclose(losses["grouped"], losses["flat"], atol=1e-6)
    of_grouped, of_flat = (pq.read_table(tmp_path / f"{directory.name}.parquet") for directory in both)
    assert of_grouped.column_names == of_flat.column_names
    for name in of_flat.column_names:
        np.testing.assert_allclose(np.asarray(of_grouped[name]), np.asarray(of_flat[name]), atol=1e-5)
