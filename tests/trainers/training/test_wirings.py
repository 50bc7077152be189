"""Wirings that depend on the data: auxiliary tasks, shared towers, scenarios; and options on their way to a model."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from fullrank.data import read_schema
from fullrank.trainers.config.config import DataConfig, RunConfig, TrainConfig
from fullrank.trainers.config.model import ModelConfig
from fullrank.trainers.training.build_model import build_model
from fullrank.trainers.training.load_run import load_run
from fullrank.trainers.training.train_model import train_model
from fullrank.trainers.training.wirings import wiring_of_data


def test_options_of_the_command_line_reach_the_model(toy_records: Path) -> None:
    schema = read_schema(toy_records)
    config = ModelConfig(
        widths=(4, 6), experts=("fm:0", "crossnet:1"), gate="mean", cross_depth=2, cross_rank=3, table_variables=1
    )
    model = build_model(config, schema, embedding_l2=0.5)
    assert [s.width for s in model.wiring.sets] == [4, 6]
    assert model.wiring.gate == "mean"
    assert model.options.interactions.cross_depth == 2
    assert model.options.interactions.cross_rank == 3
    assert model.options.table_variables == 1
    assert model.options.embedding_l2 == 0.5
    assert model.wiring.tasks == ("click",)


def test_stem_al_trains_and_remembers_its_auxiliary_task(toy_records: Path, tmp_path: Path) -> None:
    config = RunConfig(
        data=DataConfig(data=str(toy_records), batch_size=64),
        model=ModelConfig(
            model="stem_al", tasks=("click",), auxiliary_tasks=("like",), task_weights=("like:0.3",), expert_width=8
        ),
        train=TrainConfig(output=str(tmp_path / "run"), epochs=1, progress="none", tensorboard=False),
    )
    assert "val_like_auc" in train_model(config)["best"]
    model = load_run(tmp_path / "run").model
    assert model.wiring.auxiliary == ("like",)
    assert model.options.task_weights == (("like", 0.3),)


def test_tasks_share_towers_by_the_number_of_their_positives(toy_records: Path) -> None:
    schema = read_schema(toy_records)
    config = ModelConfig(model="mmoe", tasks=("like", "click"), towers=1, expert_width=8, task_weights=("uncertainty",))
    model = build_model(config, schema)
    assert model.wiring.tower_of == (0, 0)
    assert model.wiring.tasks == ("like", "click")
    assert model.objective.uncertainty is not None
    with pytest.raises(ValueError, match=r"--towers=3: there are only 2 tasks, like, click\."):
        build_model(dataclasses.replace(config, towers=3), schema)


def test_scenarios_are_read_from_a_feature(toy_records: Path) -> None:
    schema = read_schema(toy_records)
    config = ModelConfig(model="mmoe", tasks=("click", "like"), scenario="user", scenarios=("3", "7"), expert_width=8)
    model = build_model(config, schema)
    assert model.wiring.scenarios == (3, 7)
    assert model.wiring.heads == ("click@3", "click@7", "like@3", "like@7")
    assert model.wiring.tasks == ("click", "like")
    model = build_model(dataclasses.replace(config, scenario="item", scenarios=("item3", "item5")), schema)
    assert model.wiring.scenarios == ("item3", "item5")
    for changes, message in (
        ({"scenarios": ("a",)}, r"--scenarios=a: column 'user' holds whole numbers\."),
        ({"scenario": "tags"}, "'tags' is not a feature of one id"),
        ({"scenarios": ("0", "99")}, r"--scenarios=0,99: feature 'user' has no id 99 in the schema\. Known: 0 to 29\."),
        (
            {"scenario": "item", "scenarios": ("item3", "x", "7")},
            r"has no id x, 7 in the schema\. Known: item0, item1, .*, item9 and 10 more\.",
        ),
    ):
        with pytest.raises(ValueError, match=message):
            build_model(dataclasses.replace(config, **changes), schema)


def test_tasks_share_towers_in_each_scenario(toy_records: Path) -> None:
    schema = read_schema(toy_records)
    config = ModelConfig(
        model="mmoe", tasks=("click", "like"), towers=1, scenario="user", scenarios=("3", "7"), expert_width=8
    )
    wiring = wiring_of_data(config, schema)
    assert [reader.tasks for reader in wiring.readers] == [("click@3", "like@3"), ("click@7", "like@7")]
    assert wiring.tasks == ("click", "like")
    assert wiring.scenarios == (3, 7)
