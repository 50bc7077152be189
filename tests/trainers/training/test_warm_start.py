"""A training that starts from another run predicts what that run predicted, whatever happened to the vocabularies."""

from __future__ import annotations

import dataclasses
import functools
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from small_runs import lines, small

from fullrank.data.schema.features import Label, Numeric, NumericStatistics, Sparse, Vector
from fullrank.data.schema.json import read_schema, write_schema
from fullrank.data.schema.schema import Schema, SchemaError
from fullrank.data.schema.vocabulary import write_vocabulary
from fullrank.models import Ranker
from fullrank.models.table_layout import table_layout
from fullrank.models.table_rows import kept_rows
from fullrank.trainers.config.config import RunConfig
from fullrank.trainers.training.build_model import build_model, compile_model
from fullrank.trainers.training.load_run import load_run
from fullrank.trainers.training.train_model import train_model
from fullrank.trainers.training.warm_start import check_start, warm_start, with_statistics_of

OLD = [b"item%d" % number for number in range(20)]
VOCABULARIES = {
    "grown": [*OLD, b"new1", b"new2"],
    "shrunk": OLD[3:],
    "reordered": OLD[::-1],
    "all": [b"new1", *OLD[:4:-1], b"new2"],
}


@pytest.fixture(scope="module")
def old_run(toy_records: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("old") / "run"
    train_model(small(toy_records, output, tasks=("click", "like"), epochs=1))
    return output


def changed(records: Path, directory: Path, *, items: list[bytes], users: int = 30) -> Schema:
    """The same records, with another vocabulary, another number of users and other statistics."""
    shutil.copytree(records, directory)
    schema = read_schema(directory)
    sizes = {"item": len(items), "user": users}
    features: list[Any] = []
    for feature in schema.features:
        if isinstance(feature, Sparse) and feature.name in sizes:
            ids = dataclasses.replace(feature.ids, size=sizes[feature.name])
            feature = dataclasses.replace(feature, ids=ids)
        if isinstance(feature, Numeric) and feature.statistics is not None:
            feature = dataclasses.replace(
                feature, statistics=dataclasses.replace(feature.statistics, mean=0.5, std=3.0)
            )
        features.append(feature)
    write_schema(dataclasses.replace(schema, features=tuple(features)), directory)
    write_vocabulary(items, directory=directory, feature="item")
    return read_schema(directory)


def starting(records: Path, output: Path, old: Path, **changes: Any) -> RunConfig:
    return small(records, output, **{"tasks": ("click", "like"), "epochs": 1, "start": str(old), **changes})


def batch(items: list[bytes], users: int = 30) -> dict[str, tf.Tensor]:
    draw = np.random.default_rng(0)
    size = 64
    return {
        "user": tf.constant(draw.integers(0, users, size)),
        "item": tf.constant(np.array(items, object)[draw.integers(0, len(items), size)]),
        "tags": tf.constant(draw.integers(0, 9, (size, 3))),
        "age": tf.constant(draw.normal(size=size), tf.float32),
    }


def started(config: RunConfig, schema: Schema, old: Path) -> tuple[Ranker, Any]:
    schema = with_statistics_of(load_run(old).schema, schema)
    model = build_model(config.model, schema, objective=config.objective, seed=5)
    compile_model(model, config.optimizer, total_steps=1)
    model.optimizer.build(model.trainable_variables)
    return model, warm_start(model, config)


def accumulator(model: Ranker, table: str, row: int) -> float:
    """What the optimiser keeps for a row of a table."""
    for variable in table_layout(model).variables:
        for stored in variable.tables:
            if stored.name == table:
                names = [slot for slot in model.optimizer.variables if slot.name.endswith(f"/{variable.variable}:0")]
                (slot,) = names
                return float(slot[stored.start + row])
    raise AssertionError(table)


@pytest.mark.parametrize("kind", VOCABULARIES)
def test_known_ids_are_predicted_as_before(kind: str, toy_records: Path, old_run: Path, tmp_path: Path) -> None:
    items = VOCABULARIES[kind]
    schema = changed(toy_records, tmp_path / "records", items=items, users=35)
    config = starting(tmp_path / "records", tmp_path / "run", old_run)
    model, found = started(config, schema, old_run)
    known = batch([item for item in items if item in OLD])
    for task, predicted in load_run(old_run).model(known).items():
        np.testing.assert_array_equal(model(known)[task], predicted)
    assert found.with_state
    # Tables of one set: two reserved rows each; new are the ids that only the new vocabulary knows, and five users.
    assert found.new == len([item for item in items if item not in OLD]) + 5
    assert found.gone == len([item for item in OLD if item not in items])
    assert (f"{found.gone} are gone because the data lacks their ids" in str(found)) == bool(found.gone)


def test_rows_keep_their_accumulators_and_new_ones_have_none(toy_records: Path, old_run: Path, tmp_path: Path) -> None:
    items = VOCABULARIES["all"]
    schema = changed(toy_records, tmp_path / "records", items=items, users=35)
    config = starting(tmp_path / "records", tmp_path / "run", old_run)
    model, _ = started(config, schema, old_run)
    old = build_model(config.model, read_schema(old_run), objective=config.objective)
    compile_model(old, config.optimizer, total_steps=1)
    old.optimizer.build(old.trainable_variables)
    checkpoint = tf.train.latest_checkpoint(str(old_run / "checkpoints"))
    tf.train.Checkpoint(model=old, optimizer=old.optimizer).restore(checkpoint).expect_partial()
    for number, item in enumerate(items):
        before = accumulator(old, "item", 2 + OLD.index(item)) if item in OLD else 0.0
        assert accumulator(model, "item", 2 + number) == before, item
    assert accumulator(model, "user", 2 + 29) == accumulator(old, "user", 2 + 29) > 0
    assert accumulator(model, "user", 2 + 34) == 0.0
    # Adam's correction of its first steps is over.
    assert int(model.optimizer.iterations) == int(old.optimizer.iterations) == 19


@pytest.mark.parametrize("ranking", ["none", "jrc"])
def test_objective_and_schedule_may_have_been_others(
    ranking: str, toy_records: Path, old_run: Path, tmp_path: Path
) -> None:
    old = old_run
    if ranking == "none":
        old = tmp_path / "old"
        before = {"ranking": "jrc", "schedule": "cosine", "warmup_steps": 1, "steps_per_epoch": 2}
        train_model(starting(toy_records, old, old_run, **{"start": None, **before}))
    config = starting(toy_records, tmp_path / "run", old, ranking=ranking, learning_rate=0.25)
    check_start(config, read_schema(toy_records))
    model, found = started(config, read_schema(toy_records), old)
    assert found.with_state
    for task, predicted in load_run(old).model(batch(OLD)).items():
        np.testing.assert_array_equal(model(batch(OLD))[task], predicted)
    # The slots of the heads that only jrc has are those of new weights.
    moments = {slot.name: slot.numpy() for slot in model.optimizer.variables if slot.name.startswith("v/")}
    assert {name: bool(moment.any()) for name, moment in moments.items()} == {
        name: "training_heads" not in name for name in moments
    }
    assert any("training_heads" in name for name in moments) == (ranking == "jrc")
    assert int(model.optimizer.iterations) == (2 if ranking == "none" else 19)
    assert float(model.optimizer.learning_rate) == 0.25


def test_dot_products_keep_the_quantiles_that_the_model_was_built_with() -> None:
    def schema(quantiles: tuple[float, ...], length: int) -> Schema:
        statistics = NumericStatistics(mean=0.0, std=1.0, minimum=-1.0, maximum=1.0, missing=0.0, quantiles=quantiles)
        ours = Vector(name="user_vector", length=length, pair="ad_vector", side="user", statistics=statistics)
        features = (ours, Vector(name="ad_vector", length=length, side="ad"))
        return Schema(name="s", features=features, labels=(Label(name="y"),))

    old, new = schema((-1.0, 0.0, 1.0), 4), schema((-3.0, 1.0, 3.0), 4)
    assert with_statistics_of(old, new) == old
    # Another length stays that of the records, so that it is found.
    assert with_statistics_of(old, schema((-3.0, 1.0, 3.0), 8)) == schema((-1.0, 0.0, 1.0), 8)


@pytest.mark.parametrize("kind", ["grown"])
def test_a_training_continues_by_the_command(
    kind: str, toy_records: Path, old_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    changed(toy_records, tmp_path / "records", items=VOCABULARIES[kind])
    config = starting(tmp_path / "records", tmp_path / "run", old_run)
    train_model(config)
    assert "2 are new; with the optimisers' state" in capsys.readouterr().out
    first, before = (lines(run, "epoch")[0] for run in (tmp_path / "run", old_run))
    assert first["loss"] < before["loss"]
    loaded = load_run(tmp_path / "run")
    theirs = {f.name: f.statistics for f in load_run(old_run).schema.features if isinstance(f, Numeric)}
    assert {f.name: f.statistics for f in loaded.schema.features if isinstance(f, Numeric)} == theirs
    assert set(loaded.model(batch(VOCABULARIES[kind]))) == {"click", "like"}


def test_moving_averages_begin_at_the_weights_of_the_run(toy_records: Path, old_run: Path, tmp_path: Path) -> None:
    rates = {"learning_rate": 1e-9, "table_learning_rate": 1e-9}
    config = starting(
        toy_records, tmp_path / "run", old_run, steps_per_epoch=1, ema_decay=0.999, calibrate=False, **rates
    )
    train_model(config)
    # Rates so small that they change nothing leave the model of the old run, also in the averages.
    for task, predicted in load_run(old_run).model(batch(OLD)).items():
        np.testing.assert_allclose(load_run(tmp_path / "run").model(batch(OLD))[task], predicted, rtol=1e-4)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"hidden": (4,)}, "has another model: --hidden was 8, is now 4"),
        ({"table_optimizer": "lazy_adam"}, "trained with another --table_optimizer"),
        ({"schedule": "cosine"}, "leave out --schedule and --warmup_steps"),
        ({"teacher": "ema"}, "does not go with a teacher"),
        ({"start": "nowhere"}, "nowhere"),
    ],
)
def test_another_model_cannot_start(
    changes: dict[str, Any], said: str, toy_records: Path, old_run: Path, tmp_path: Path
) -> None:
    with pytest.raises((ValueError, OSError), match=said):
        train_model(starting(toy_records, tmp_path / "run", old_run, **changes))
    assert not (tmp_path / "run").exists()


def test_a_run_does_not_start_from_itself(toy_records: Path, old_run: Path) -> None:
    with pytest.raises(ValueError, match="is also --output"):
        train_model(starting(toy_records, old_run, old_run, overwrite=True))


def test_hashed_ids_keep_their_map(toy_records: Path) -> None:
    schema = read_schema(toy_records)
    known = functools.partial(kept_rows, schema, schema, table="tags", vocabularies=({}, {}))
    np.testing.assert_array_equal(known(rows=(10, 10)).old, np.arange(10))
    with pytest.raises(SchemaError, match="Table 'tags' had 10 rows of kind 'hash', and has 12"):
        known(rows=(10, 12))


def test_rows_by_hand(toy_records: Path) -> None:
    schema = read_schema(toy_records)
    vocabularies = {"item": np.array([b"a", b"b", b"c"], object)}, {"item": np.array([b"x", b"c", b"a"], object)}
    rows = kept_rows(schema, schema, table="item", rows=(5, 5), vocabularies=vocabularies)
    # Missing and unknown first; c was row 4 and is row 3, a was row 2 and is row 4; x in row 2 is new.
    np.testing.assert_array_equal(rows.old, [0, 1, 4, 2])
    np.testing.assert_array_equal(rows.new, [0, 1, 3, 4])
