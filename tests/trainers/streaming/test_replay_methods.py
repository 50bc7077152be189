"""What a replay trains: each method's flags, the stream of each seed, and what is kept when it goes on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ran_commands import ran

from fullrank.data.events.event_files import END
from fullrank.trainers import replay_conversions
from fullrank.trainers.config.model import ModelConfig
from fullrank.trainers.config.optimizer import OptimizerConfig
from fullrank.trainers.streaming import replay_run
from fullrank.trainers.streaming.config import OnlineConfig
from fullrank.trainers.streaming.replay_config import ReplayConfig
from fullrank.trainers.streaming.replay_run import replay

STREAM = {"clicks": 1000, "days": 12.0, "settle_days": 1.0, "wait_hours": 7.0, "short_hours": 2.0}
METRICS = {"ne": 0.9, "auc": 0.7, "bias": 1.5}


class Trainings:
    """Stands in for online training: notes what it is asked for, and what the stream holds."""

    def __init__(self) -> None:
        self.configs: list[OnlineConfig] = []
        self.labels: list[tuple[str, ...]] = []
        self.streams: list[list[tuple[str, bytes]]] = []

    def __call__(self, config: OnlineConfig, *, model: ModelConfig, optimizer: OptimizerConfig) -> dict[str, Any]:
        assert optimizer == OptimizerConfig()
        events = Path(config.source)
        assert (events / END).exists()
        self.configs.append(config)
        self.labels.append(model.tasks)
        files = sorted(events.glob("*.tfrecord"))
        self.streams.append([(file.name, file.read_bytes()) for file in files])
        run = Path(config.output)
        run.mkdir()
        groups = {name: {"bias": 1.5, "positives": 50} for name in ("all", "young")}
        (run / "windows.json").write_text(json.dumps([{"start": 0.0, "end": 86_400.0, "groups": groups}]))
        counters = {"late": 1, "in_time": 1}
        metrics = {"all": METRICS, "young": METRICS}
        return {"steps": 3, "metrics": metrics, "counters": counters, "decisions": {}, "waits": [1, 1], "ended": True}


@pytest.fixture
def trainings(monkeypatch: pytest.MonkeyPatch) -> Trainings:
    found = Trainings()
    monkeypatch.setattr(replay_run, "train_online", found)
    return found


def test_every_method_trains_on_the_stream_of_its_seed(tmp_path: Path, trainings: Trainings) -> None:
    output = tmp_path / "replay"
    config = ReplayConfig(output=str(output), seeds=2, first_seed=4, **STREAM)  # type: ignore[arg-type]
    lines = replay(config)
    assert [(each["seed"], each["method"]) for each in lines] == [
        (seed, method) for seed in (4, 5) for method in config.methods
    ]
    ways = {
        each["method"]: (how.late, how.wait, how.wait_hours) for each, how in zip(lines, trainings.configs, strict=True)
    }
    assert ways == {
        "naive": ("naive", "none", 2.0),
        "fixed": ("naive", "fixed", 7.0),  # --wait_hours is the wait of this method alone
        "rule": ("naive", "rule", 2.0),
        "fnw": ("fnw", "none", 2.0),
        "fnc": ("fnc", "none", 2.0),
        "es_dfm": ("es_dfm", "fixed", 2.0),
        "dfm": ("dfm", "fixed", 2.0),
        "rule_es_dfm": ("es_dfm", "rule", 2.0),
        "oracle": ("oracle", "none", 2.0),
    }
    first, *_, last = trainings.configs
    assert (first.keys, first.settle_days, first.seed, last.seed) == (("ad", "advertiser"), 1.0, 4, 5)
    assert set(trainings.labels) == {("conversion",)}
    number = len(config.methods)
    assert all(stream == trainings.streams[0] for stream in trainings.streams[:number])
    assert all(stream == trainings.streams[number] for stream in trainings.streams[number:])
    assert trainings.streams[0] != trainings.streams[number]
    assert sorted(file.name for file in output.iterdir()) == ["bias.png", "replay.json", "report.md", "results.jsonl"]
    assert lines[0]["windows"][0]["groups"]["all"]["bias"] == 1.5
    assert "ended" not in lines[0]


def test_the_command_goes_on_and_refuses_another_stream(
    tmp_path: Path, trainings: Trainings, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "replay"
    flags = [f"--output={output}", *(f"--{name}={value}" for name, value in STREAM.items()), "--seeds=2"]
    code, out, _ = ran(capsys, replay_conversions.run, *flags, "--methods=naive")
    assert code == 0
    assert "| naive" in out
    kept = (output / "results.jsonl").read_text()
    assert len(trainings.configs) == 2
    code, out, _ = ran(capsys, replay_conversions.run, *flags, "--methods=naive,oracle")
    assert code == 0
    assert [config.late for config in trainings.configs[2:]] == ["oracle", "oracle"]
    assert (output / "results.jsonl").read_text().startswith(kept)
    assert "| oracle" in out
    code, _, err = ran(capsys, replay_conversions.run, *flags, "--burst_share=0.5")
    assert code == 1
    assert f"{output} holds a replay with another --burst_share: choose another --output." in err
    assert len(trainings.configs) == 4


def test_hillstrom_is_prepared_once_and_its_segments_report(tmp_path: Path, trainings: Trainings) -> None:
    header = "recency,history_segment,history,mens,womens,zip_code,newbie,channel,segment,visit,conversion,spend\n"
    draw = np.random.default_rng(1)
    arms = ("Mens E-Mail", "Womens E-Mail", "No E-Mail")
    lines = [
        f'{row % 12},"{row % 3 + 1}) more",30.0,1,0,Rural,0,Web,{arms[row % 3]},{int(draw.random() < 0.3)},0,0.0\n'
        for row in range(300)
    ]
    (tmp_path / "hillstrom.csv").write_text(header + "".join(lines))
    output = tmp_path / "replay"
    given: dict[str, Any] = {"dataset": "hillstrom", "raw_dir": str(tmp_path), "label": "visit", "methods": ("naive",)}
    replay(ReplayConfig(output=str(output), seeds=2, **STREAM, **given))  # type: ignore[arg-type]
    assert trainings.configs[0].keys == ("treatment", "history_segment")
    assert set(trainings.labels) == {("visit",)}
    assert trainings.streams[0] != trainings.streams[1]
    written = (output / "records" / "schema.json").stat().st_mtime_ns
    replay(ReplayConfig(output=str(output), seeds=3, **STREAM, **given))  # type: ignore[arg-type]
    assert (output / "records" / "schema.json").stat().st_mtime_ns == written
    assert [config.seed for config in trainings.configs] == [1, 2, 3]


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("--dataset=hillstrom",), "--dataset=hillstrom needs --raw_dir, the folder with hillstrom.csv."),
        (("--days=4", "--settle_days=5"), "--settle_days=5 leaves nothing of --days=4."),
        (("--seeds=1",), "--seeds has to be at least 2"),
    ],
)
def test_what_cannot_be_compared_is_refused(
    flags: tuple[str, ...], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, _, err = ran(capsys, replay_conversions.run, f"--output={tmp_path / 'replay'}", *flags)
    assert code != 0
    assert message in err
    assert not (tmp_path / "replay").exists()
