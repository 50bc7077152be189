"""Flags derived from the configuration classes, and configurations read back from files."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
from ran_commands import run

from fullrank.data.command.command import new_flags
from fullrank.data.command.errors import UsageError
from fullrank.data.schema.json import read_schema
from fullrank.models.interactions import INTERACTIONS
from fullrank.models.optimizers import DENSE_OPTIMIZERS, SPARSE_OPTIMIZERS
from fullrank.models.optimizers.schedule import SCHEDULES
from fullrank.models.options.setting import field_types
from fullrank.trainers import evaluate as evaluate_command
from fullrank.trainers import predict as predict_command
from fullrank.trainers import train as train_command
from fullrank.trainers.config import flags as trainer_flags
from fullrank.trainers.config import json as config_json
from fullrank.trainers.config.checks import ONE_SET, WITH_LEVELS, task_weights
from fullrank.trainers.config.config import DataConfig, RunConfig, TrainConfig
from fullrank.trainers.config.model import ModelConfig
from fullrank.trainers.config.optimizer import OptimizerConfig
from fullrank.trainers.run.run_directory import RunDirectory
from fullrank.trainers.training.warnings import one_task_warning
from fullrank.trainers.training.wirings import MODELS, build_wiring, wiring_of_data


def parse(*arguments: str) -> RunConfig:
    flag_values = new_flags()
    trainer_flags.define_run(flag_values)
    flag_values(["train", *arguments])
    return trainer_flags.read_run(flag_values)


def test_flags_of_every_type_reach_their_fields() -> None:
    config = parse(
        "--data=records",
        "--output=runs/x",
        "--batch_size=256",
        "--noshuffle",
        "--widths=8,16",
        "--experts=fm:0,ipnn:1",
        "--tower=",
        "--cross_rank=4",
        "--table_variables=none",
        "--learning_rate=0.01",
        "--gate=mean",
        "--patience=none",
    )
    assert config == RunConfig(
        data=DataConfig(data="records", batch_size=256, shuffle=False),
        train=TrainConfig(output="runs/x", patience=None),
        model=ModelConfig(
            widths=(8, 16), experts=("fm:0", "ipnn:1"), tower=(), cross_rank=4, table_variables=None, gate="mean"
        ),
        optimizer=OptimizerConfig(learning_rate=0.01),
    )


def test_flags_left_out_are_the_defaults_of_the_classes() -> None:
    expected = RunConfig(data=DataConfig(data="d"), train=TrainConfig(output="o"))
    assert parse("--data=d", "--output=o") == expected


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--data=d"], "--output is required"),
        (["--output=o"], "--data is required"),
        (["--batch_size=0"], "--batch_size has to be at least 1. Received: 0."),
        (["--dropout=1"], "--dropout has to be below 1. Received: 1.0."),
        (["--learning_rate=0"], "--learning_rate has to be above 0"),
        (["--hidden=64,0"], "--hidden has to be at least 1. Received: 0."),
        (["--model=single", "--widths=16,16"], "--model=single has one embedding set, but --widths gives 2: 16,16"),
        (["--tasks=click,click"], "--tasks names a task twice"),
        (["--model=mmoe", "--widths=16,16"], "--model=mmoe has one embedding set, but --widths gives 2: 16,16"),
        (
            ["--model=mmoe", "--levels=2"],
            "--levels=2 takes effect only with --model=ple or stem. Received: --model=mmoe.",
        ),
        (["--model=omoe", "--gate=mean"], "--gate=mean leaves --model=omoe no gate to share"),
        (
            ["--auxiliary_tasks=like"],
            "--auxiliary_tasks=like takes effect only with --model=stem_al: take it, or name them",
        ),
        (["--model=stem_al", "--tasks=click"], "--model=stem_al needs --auxiliary_tasks"),
        (["--model=stem_al", "--auxiliary_tasks=like"], "--model=stem_al needs one task in --tasks.*Received: none"),
        (["--model=stem_al", "--tasks=a", "--auxiliary_tasks=a"], "--auxiliary_tasks=a names a task twice"),
        (
            ["--model=stem_al", "--tasks=a", "--auxiliary_tasks=b", "--towers=2"],
            "--towers=2 shares towers between tasks, but with --model=stem_al each task needs its own",
        ),
        (["--scenario=region"], "--scenario, the column, and --scenarios, its ids, go together"),
        (["--scenario=s", "--scenarios=1,1"], "--scenarios names a scenario twice"),
        (
            ["--model=stem_al", "--scenario=s", "--scenarios=1,2", "--auxiliary_tasks=like"],
            "--model=stem_al is helped by --auxiliary_tasks=like or by the scenarios --scenarios=1,2, not by both",
        ),
        (
            ["--model=stem_al", "--scenario=s", "--scenarios=1,2", "--tasks=a,b"],
            "--model=stem_al with --scenario has one task.*Received: --tasks=a,b",
        ),
        (
            ["--model=stem_al", "--scenario=s", "--scenarios=1"],
            "needs the main scenario and at least one that helps it. Received: --scenarios=1.",
        ),
        (
            ["--model=stem_al", "--scenario=s", "--scenarios=1,2", "--towers=2"],
            "--towers=2 shares towers between tasks, but with --model=stem_al each task needs its own",
        ),
        (["--task_weights=buy=5"], "--task_weights: 'buy=5' is not task:weight, such as buy:5"),
        (["--task_weights=buy:-5"], "--task_weights: 'buy:-5' is not task:weight"),
        (["--task_weights=buy:5,buy:1"], "--task_weights names a task twice. Received: buy:5,buy:1"),
        (["--final_rate=0.5"], "--final_rate takes effect only with a --schedule that falls"),
        (["--validation_split=train"], "--validation_split cannot be the training split"),
    ],
)
def test_values_that_cannot_be_are_one_line_of_usage_error(arguments: list[str], message: str) -> None:
    complete = arguments if message.endswith("required") else ["--data=d", "--output=o", *arguments]
    with pytest.raises(UsageError, match=message.replace("(", r"\(")) as caught:
        parse(*complete)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("--batch_size=many", "flag --batch_size=many: expected a whole number, or none. See --help."),
        ("--batch_size=1.5", "flag --batch_size=1.5: expected a whole number, or none. See --help."),
        ("--learning_rate=nan", "flag --learning_rate=nan: expected a number. See --help."),
        ("--model=mee", f"flag --model=mee: expected one of {', '.join(MODELS)}. See --help."),
        ("--widths=16;16", "expected a whole number, or several with commas between"),
        ("--cross_rank=x", "flag --cross_rank=x: expected a whole number, or none"),
        ("--batchsize=2", "unknown flag --batchsize; did you mean --batch_size?"),
        ("extra", "unexpected argument 'extra'"),
    ],
)
def test_a_wrong_command_line_is_one_line_and_exit_code_2(
    argument: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(train_command, "--data=d", "--output=o", argument) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


@pytest.mark.parametrize("command", [train_command, evaluate_command, predict_command])
def test_help_shows_usage_and_every_flag(command: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(command, "--help") == 0
    shown = capsys.readouterr().out
    assert f"fullrank {command.__name__.rpartition('.')[2]} --" in shown
    assert "--run=TEXT" in shown or "--data=TEXT" in shown


def test_help_of_train_is_grouped_with_defaults_and_choices(capsys: pytest.CaptureFixture[str]) -> None:
    run(train_command, "--help")
    shown = capsys.readouterr().out
    headings = ["Data:", "Model:", "Repeated exposures:", "Optimisation:", "Training:"]
    assert all(f"\n{heading}\n" in shown for heading in headings)
    for part in config_json.PARTS.values():
        for field in dataclasses.fields(part):
            assert f"--{field.name}=" in shown or f"--[no]{field.name}" in shown
    assert "--model=" + "|".join(MODELS)[:40] in shown
    assert "Examples per step; if not given, the largest of 2048" in shown
    assert "(default: 128,64)" in shown
    assert "(default: )" not in shown


def test_every_field_has_a_meaning_and_a_name_of_its_own() -> None:
    fields = [field for part in config_json.PARTS.values() for field in dataclasses.fields(part)]
    assert all(field.metadata["meaning"].rstrip().endswith(".") for field in fields)
    names = [field.name for field in fields]
    assert len(set(names)) == len(names)


def test_a_config_file_gives_what_flags_leave_open(tmp_path: Path) -> None:
    written = parse("--data=d", "--output=old", "--widths=8", "--model=single", "--epochs=3", "--seed=7")
    file = tmp_path / "config.json"
    file.write_text(json.dumps({"config": config_json.to_json(written), "versions": {}}))
    config = parse(f"--config={file}", "--output=new", "--epochs=5")
    assert config == dataclasses.replace(written, train=dataclasses.replace(written.train, output="new", epochs=5))
    with pytest.raises(UsageError, match="--output is required"):
        parse(f"--config={file}")


def test_a_config_file_does_not_overwrite(toy_records: Path, tmp_path: Path) -> None:
    run = RunDirectory(tmp_path / "run")
    config = parse(f"--data={toy_records}", f"--output={run.path}", "--overwrite")
    assert config.train.overwrite
    run.create(config, read_schema(toy_records), command=())
    parts = config_json.read_parts(run.config_file)
    assert "overwrite" not in parts["train"]
    assert not run.config().train.overwrite
    parts["train"]["overwrite"] = True
    run.config_file.write_text(json.dumps(parts))
    assert not parse(f"--config={run.config_file}", "--output=new").train.overwrite
    assert parse(f"--config={run.config_file}", "--output=new", "--overwrite").train.overwrite


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "is not JSON"),
        ("[]", "does not hold a configuration"),
        ('{"config": {"modle": {}}}', "unknown part 'modle'"),
        ('{"model": {"widht": 3}}', "unknown field 'widht' in 'model'; did you mean 'widths'"),
        ('{"model": {"widths": 3}}', "--widths: expected a list, each a whole number. Received: 3."),
        ('{"model": {"model": "x"}}', f"--model: expected one of {', '.join(MODELS)}. Received: 'x'."),
        ('{"train": {"deterministic": 1}}', "--deterministic: expected true or false. Received: 1."),
    ],
)
def test_a_config_file_is_checked_whole(content: str, message: str, tmp_path: Path) -> None:
    file = tmp_path / "c.json"
    file.write_text(content)
    with pytest.raises(ValueError, match=message.replace("[", r"\[")) as caught:
        parse("--data=d", "--output=o", f"--config={file}")
    assert str(file) in str(caught.value)


def test_json_round_trip_is_exact() -> None:
    config = parse("--data=d", "--output=o", "--widths=8,4", "--clip_norm=2", "--patience=none", "--schedule=cosine")
    text = json.dumps(config_json.to_json(config))
    assert config_json.from_json(json.loads(text), source="test") == config


def test_differences_name_what_changes_a_result_only() -> None:
    old = parse("--data=d", "--output=o", "--widths=8,8", "--log_steps=5")
    new = parse("--data=e", "--output=p", "--widths=8,16", "--log_steps=9", "--patience=none")
    assert config_json.differences(old, new) == [
        "--widths was 8,8, is now 8,16",
        "--patience was 2, is now none",
    ]
    assert config_json.differences(old, old) == []


def test_choices_are_those_of_the_parts_they_choose_from() -> None:
    kinds = {**field_types(ModelConfig), **field_types(OptimizerConfig)}
    assert kinds["model"].choices == tuple(MODELS)
    assert kinds["table_optimizer"].choices == SPARSE_OPTIMIZERS
    assert kinds["dense_optimizer"].choices == DENSE_OPTIMIZERS
    assert kinds["schedule"].choices == SCHEDULES


def test_models_by_name_are_the_wirings_they_name() -> None:
    single = build_wiring(ModelConfig(model="single", widths=(8,)), tasks=("click",))
    assert [(e.kind, e.set) for e in single.experts] == [("crossnet", "set0"), ("flat", "set0")]
    assert [s.width for s in single.sets] == [8]
    me = build_wiring(ModelConfig(experts=("fm:1", "flat:0")), tasks=("click", "like"))
    assert [(e.kind, e.set) for e in me.experts] == [("fm", "set1"), ("flat", "set0")]
    assert me.tasks == ("click", "like")
    assert {e.kind for e in build_wiring(ModelConfig(), tasks=("a",)).experts} <= set(INTERACTIONS)


def test_every_paradigm_can_be_chosen_with_its_flags() -> None:
    tasks = ("click", "like")
    for name in MODELS:
        of_one = name in ONE_SET
        config = ModelConfig(
            model=name,  # type: ignore[arg-type]
            tasks=tasks[:1] if name == "stem_al" else tasks,
            auxiliary_tasks=tasks[1:] if name == "stem_al" else (),
            widths={"single": (8,), "stem": (4, 8, 2), "ame": (2, 4, 8)}.get(name, (8,) if of_one else (8, 4)),
            experts={
                "ple": ("fm:0", "flat:2"),
                "stem": ("fm:0", "flat:1", "fm:2"),
                "ame": ("fm:0", "fm:1", "fm:2"),
            }.get(name, ("fm", "flat") if of_one else ("fm:0", "flat:1")),
            levels=2 if name in WITH_LEVELS else 1,
            expert_width=5,
        )
        wiring = build_wiring(config, tasks=tasks)
        assert wiring.tasks == tasks
        assert wiring.auxiliary == config.auxiliary_tasks
        assert tuple(spec.width for spec in wiring.sets) == config.widths
        assert [spec.kind for spec in wiring.experts] == [text.partition(":")[0] for text in config.experts]
        assert len(wiring.levels) == config.levels - 1
        assert wiring.expert_width == 5
        # And with nothing but its name.
        bare = ModelConfig(model=name, tasks=config.tasks, auxiliary_tasks=config.auxiliary_tasks)  # type: ignore[arg-type]
        assert build_wiring(bare, tasks=tasks).paradigm == wiring.paradigm


def test_task_weights_are_read() -> None:
    assert task_weights(("click:1", "buy:2.5")) == (("click", 1.0), ("buy", 2.5))
    assert task_weights(("uncertainty",)) == "uncertainty"
    assert task_weights(()) == ()


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (
            ModelConfig(model="stem", experts=("fm:0", "fm:1", "fm:2", "fm:3")),
            r"\('fm', 2\), \('fm', 3\)\] have an unknown owner: owners are 0 \(shared\), 1 \(click\)",
        ),
        (ModelConfig(model="stem", widths=(4, 4, 4)), "The sets are shared, click: give 2 widths, or one for all"),
        (ModelConfig(model="mmoe", experts=("fm:1",)), "'fm:1' reads set 1, but --model=mmoe has only set 0"),
        (ModelConfig(experts=("fm:x",)), "'fm:x' is not interaction:set"),
        (ModelConfig(experts=(":0",)), "':0' is not interaction:set"),
        (ModelConfig(model="single", experts=("fm:1",)), "'fm:1' reads set 1, but --model=single has only set 0"),
        (ModelConfig(experts=("fm:2", "flat:0", "flat:1")), "read a set that is not there"),
    ],
)
def test_experts_that_do_not_fit_are_refused(config: ModelConfig, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build_wiring(config, tasks=("click",))


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        (["--model=mmoe"], ["--model=mmoe is for several tasks, but click is the only one: add others to --tasks"]),
        (["--model=ame"], ["(the data also has like), or take --model=me."]),
        (["--model=mmoe", "--tasks=click,like"], []),
        (["--model=me"], []),
        (["--model=mmoe", "--scenario=user", "--scenarios=1,2"], []),
    ],
)
def test_a_wiring_for_several_tasks_that_has_one_is_said(
    flags: list[str], expected: list[str], toy_records: Path
) -> None:
    config = parse("--data=d", "--output=o", *flags).model
    schema = read_schema(toy_records)
    found = one_task_warning(config, schema, wiring_of_data(config, schema))
    assert len(found) == len(expected)
    assert all(part in sentence for part, sentence in zip(expected, found, strict=True))
