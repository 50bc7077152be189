"""Small runs on the toy records, and the lines and events that they leave."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import tensorflow as tf

from fullrank.trainers.config import json as config_json
from fullrank.trainers.config.config import RunConfig


def small(records: Path, output: Path, **changes: Any) -> RunConfig:
    """A configuration that trains within seconds; `changes` are fields of any part."""
    defaults: dict[str, dict[str, Any]] = {
        "data": {"data": str(records), "batch_size": 64},
        "model": {"model": "single", "widths": (4,), "experts": ("flat",), "hidden": (8,), "tower": (), "dropout": 0.2},
        "optimizer": {"table_learning_rate": 0.2},
        "train": {"output": str(output), "epochs": 2, "log_steps": 5, "progress": "none", "tensorboard": False},
    }
    for part, part_class in config_json.PARTS.items():
        fields = {field.name for field in dataclasses.fields(part_class)}
        defaults.setdefault(part, {}).update({name: changes.pop(name) for name in list(changes) if name in fields})
    assert not changes
    return config_json.from_json(defaults, source="test")


def lines(run: Path, kind: str) -> list[dict[str, Any]]:
    found = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return [line for line in found if line["kind"] == kind]


def events(directory: Path, tag: str) -> list[tuple[int, float]]:
    """Steps and values of a scalar in the event files of a directory, one of each process."""
    files = [str(file) for file in sorted(directory.iterdir())]
    found = [tf.compat.v1.Event.FromString(record.numpy()) for record in tf.data.TFRecordDataset(files)]
    values = [(event.step, value) for event in found for value in event.summary.value if value.tag == tag]
    return [(step, tf.make_ndarray(value.tensor).item()) for step, value in values]
