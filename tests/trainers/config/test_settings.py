"""A setting is declared once: flags, `config.json` and Python read its default, limits and meaning from there."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
import types
import typing
from pathlib import Path
from typing import Any

import pytest

from fullrank import models
from fullrank.layers.uncertainty.covariance_kernels import KERNELS
from fullrank.models import GroupOptions, InteractionOptions, ObjectiveOptions, RankerOptions, Repetition
from fullrank.models.options import ModelOptions
from fullrank.models.options.setting import check_settings, field_types, part_of, same_as, setting
from fullrank.trainers.config import json as config_json
from fullrank.trainers.config.config import DataConfig, ExposureConfig, RunConfig, TrainConfig
from fullrank.trainers.config.model import ModelConfig
from fullrank.trainers.config.objective import ObjectiveConfig
from fullrank.trainers.config.optimizer import OptimizerConfig

# Configuration, options and the prefix of what `same_as` declares in the one from the other.
SAME = [
    (ModelConfig, GroupOptions, "group_"),
    (ExposureConfig, Repetition, "repetition_"),
    (OptimizerConfig, RankerOptions, ""),
    (ModelOptions, InteractionOptions, ""),
]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Size:
    """Two settings."""

    depth: int = setting(3, "Layers.", minimum=1)
    width: int = setting(8, "Units.", minimum=2)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Given:
    """One of them with a prefix."""

    net_depth: int = same_as(Size, "depth")

    def __post_init__(self) -> None:
        check_settings(self)


@pytest.mark.parametrize(("config", "options", "prefix"), SAME)
def test_what_is_the_same_has_the_same_type(config: Any, options: Any, prefix: str) -> None:
    theirs = {field.name: field for field in dataclasses.fields(options)}
    found = {
        field.name: theirs[field.name.removeprefix(prefix)]
        for field in dataclasses.fields(config)
        if field.name.startswith(prefix) and field.name.removeprefix(prefix) in theirs
    }
    assert found
    kinds, hints = field_types(config), typing.get_type_hints(options)
    for name, declared in found.items():
        (own,) = (field for field in dataclasses.fields(config) if field.name == name)
        assert own.metadata == declared.metadata, name
        assert own.default == declared.default, name
        assert kinds[name] == type(kinds[name]).of(hints[declared.name]), name


def test_limits_and_default_come_along() -> None:
    assert Given().net_depth == 3
    with pytest.raises(ValueError, match="--net_depth has to be at least 1"):
        Given(net_depth=0)


def test_options_are_taken_out_of_a_configuration() -> None:
    assert part_of(Given(net_depth=5), of=Size, prefix="net_", width=16) == Size(depth=5, width=16)
    with pytest.raises(AttributeError, match="net_width"):
        part_of(Given(), of=Size, prefix="net_")
    with pytest.raises(TypeError, match="heigth"):
        part_of(Given(), of=Size, prefix="net_", width=16, heigth=1)


def test_defaults_of_a_configuration_are_those_of_the_options() -> None:
    assert part_of(ModelConfig(), of=InteractionOptions) == InteractionOptions()
    assert part_of(ModelConfig(), of=GroupOptions, prefix="group_") == GroupOptions()
    assert part_of(ModelConfig(), of=ModelOptions) == part_of(RankerOptions(), of=ModelOptions)
    assert part_of(ObjectiveConfig(), of=ObjectiveOptions) == ObjectiveOptions()
    kinds = field_types(ModelOptions)
    assert kinds["kernel"].choices == KERNELS


def test_a_configuration_written_with_a_former_name_is_read(tmp_path: Path) -> None:
    file = tmp_path / "config.json"
    file.write_text(
        json.dumps({"config": {"model": {"groups": None}, "data": {"data": "d"}, "train": {"output": "o"}}})
    )
    config = config_json.from_json(config_json.read_parts(file), source=str(file))
    assert config.model.table_variables is None


def test_what_a_run_was_written_without_is_what_it_did(tmp_path: Path) -> None:
    parts = config_json.to_json(RunConfig(data=DataConfig(data="d"), train=TrainConfig(output="o")))
    assert parts["model"].pop("sequence_scale") == 0.3
    assert parts["model"].pop("unknown_share") == 0.1
    assert parts["optimizer"].pop("small_tables") == "table"
    run, by_hand = tmp_path / "config.json", tmp_path / "by_hand.json"
    run.write_text(json.dumps({"config": parts}))
    by_hand.write_text(json.dumps(parts))
    old, new = (config_json.from_json(config_json.read_parts(file), source=str(file)) for file in (run, by_hand))
    assert (old.model.sequence_scale, old.model.unknown_share) == (1.0, 0.0)
    assert (new.model.sequence_scale, new.model.unknown_share) == (0.3, 0.1)
    assert (old.optimizer.small_tables, new.optimizer.small_tables) == ("dense", "table")
    parts["model"]["sequence"] = "din"
    run.write_text(json.dumps({"config": parts}))
    assert config_json.from_json(config_json.read_parts(run), source="").model.sequence == "din"


def test_flags_need_no_tensorflow() -> None:
    program = "import sys, fullrank.trainers.config.flags; sys.exit('tensorflow' in sys.modules)"
    subprocess.run([sys.executable, "-c", program], check=True)


@pytest.mark.parametrize("name", models.__all__)
def test_every_name_of_models_is_what_it_says(name: str) -> None:
    assert not isinstance(getattr(models, name), types.ModuleType), "a module of the same name hides it"
    assert name in dir(models)


def test_another_name_of_models_is_an_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'Rankre'"):
        _ = models.Rankre
