"""Replaying what two runs would have shown, by the command line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fullrank import data
from fullrank.analysis import exposure_replay
from fullrank.analysis.policies.exposure_replay import equal_share_penalty
from fullrank.data import prepare
from fullrank.trainers import replay_exposures, train
from fullrank.trainers.training.load_run import load_run


def _ran(command: Any, *words: str) -> int:
    try:
        command.run(["program", *words])
    except SystemExit as end:
        return int(end.code or 0)
    return 0


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with records and runs `plain` and `weighted` on them."""
    folder = tmp_path_factory.mktemp("replay")
    world = ["--dataset=synthetic", "--rows=4000", "--users=60", "--ads=60", "--noprogress"]
    assert _ran(prepare, *world, f"--output={folder}/records", "--exposures=user_id:ad_id") == 0
    small = [f"--data={folder}/records", "--model=single", "--widths=4", "--experts=flat", "--hidden=8"]
    small += ["--epochs=1", "--batch_size=256", "--progress=none", "--tensorboard=false"]
    assert _ran(train, *small, f"--output={folder}/plain") == 0
    heavy = ["--repetition_weight", "--repetition_alpha=1", "--tasks=like,click"]
    assert _ran(train, *small, *heavy, f"--output={folder}/weighted") == 0
    return folder


def _expected(runs: Path, *, hours: int, slots: int) -> Any:
    """The same from the two models and the records, without the command."""
    plain, weighted = load_run(runs / "plain"), load_run(runs / "weighted")
    batch = next(iter(data.read_records(runs / "records", split="test", batch_size=4000)))
    user, time = batch["user_id"].numpy(), batch["timestamp"].numpy()
    return exposure_replay(
        requests=[f"{u} {t // (3600 * hours)}" for u, t in zip(user.tolist(), time.tolist(), strict=True)],
        repeated=batch["repeat_count"].numpy() > 0,
        baseline=plain.model(batch)["click"].numpy(),
        scores=weighted.model(batch)["click"].numpy(),
        labels=batch["click"].numpy(),
        keys=user,
        slots=slots,
    )


def test_one_pair(runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = [f"--run={runs}/weighted", f"--baseline={runs}/plain", "--task=click"]
    assert _ran(replay_exposures, *words, f"--json={tmp_path}/replay.json") == 0
    assert (
        "Repeats among the first 1 of each request (user_id, 24 hours) by click, test split" in capsys.readouterr().out
    )
    (found,) = json.loads((tmp_path / "replay.json").read_text())["pairs"]
    expected = _expected(runs, hours=24, slots=1)
    assert 0 < expected.share_baseline < 1
    for name in ("requests", "shown", "share_baseline", "share", "change", "auc_baseline", "auc"):
        assert found[name] == pytest.approx(getattr(expected, name), rel=1e-6)
    assert found["low"] <= found["change"] <= found["high"]


def test_several_pairs_have_an_interval_over_them(
    runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # The second pair is the run against itself: no change. So the mean is half of the first, and Student's interval of
    # two values a and 0 reaches |a| / 2 * 12.706 to both sides.
    words = [f"--run={runs}/weighted,{runs}/plain", f"--baseline={runs}/plain,{runs}/plain"]
    words += ["--window_hours=6", "--slots=2", "--task=click"]
    assert _ran(replay_exposures, *words, f"--json={tmp_path}/replay.json") == 0
    assert "Over 2 pairs, with Student's 95 % intervals:" in capsys.readouterr().out
    result = json.loads((tmp_path / "replay.json").read_text())
    first, second = result["pairs"]
    assert first["share"] == pytest.approx(_expected(runs, hours=6, slots=2).share)
    assert (second["change"], second["share"]) == (0.0, second["share_baseline"])
    assert result["change"]["mean"] == pytest.approx(first["change"] / 2)
    reach = abs(first["change"]) / 2 * 12.706
    assert result["change"]["high"] - result["change"]["mean"] == pytest.approx(reach, rel=1e-3)
    assert second["auc_penalty"] == pytest.approx(second["auc_baseline"], abs=0.02)
    assert result["auc"]["mean"] == pytest.approx((first["auc"] - first["auc_baseline"]) / 2)


def test_the_task_is_one_that_both_predict(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert _ran(replay_exposures, f"--run={runs}/weighted", f"--baseline={runs}/plain", "--window_hours=0") == 0
    assert "(user_id) by click" in capsys.readouterr().out  # the first of the run's is like


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["--run=a,b"], 2, "--run and --baseline have to name equally many runs. Received: 2 and 1."),
        (["--task=like"], 1, "--task=like: {runs}/plain predicts click."),
        (["--repeated=seen"], 1, "--repeated=seen: {runs}/records has no such column of numbers; convert and prepare"),
        (["--request=history_ad"], 1, "--request=history_ad: expected a column with one id per example. There are:"),
        (["--slots=0"], 2, "--slots has to be at least 1. Received: 0."),
    ],
)
def test_what_does_not_fit_is_one_line(
    runs: Path, capsys: pytest.CaptureFixture[str], words: list[str], code: int, message: str
) -> None:
    given = {"run": f"{runs}/weighted", "baseline": f"{runs}/plain"}
    rest = [f"--{name}={value}" for name, value in given.items() if not any(f"--{name}=" in word for word in words)]
    assert _ran(replay_exposures, *words, *rest) == code
    errors = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1
    assert errors[0].startswith(f"error: {message.format(runs=runs)}")


def test_records_without_time_need_no_window(runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    schema = json.loads((runs / "records" / "schema.json").read_text())
    del schema["time"]
    (tmp_path / "schema.json").write_text(json.dumps(schema))
    words = [f"--run={runs}/weighted", f"--baseline={runs}/plain", f"--data={tmp_path}"]
    assert _ran(replay_exposures, *words) == 1
    assert f"--window_hours=24: {tmp_path} has no time; give 0." in capsys.readouterr().err


def test_penalty_by_hand() -> None:
    # Logits: the first request shows its repeat from 1 above the other, the second from 3. So a penalty of 1 is enough
    # to leave one repeat of two, and of 3 for none. Labels: repeats are the positives, whose logits 2 and 4 become 1
    # and 3 against 1 and 1: pairs 1/2, 1/2, 1, 1, which is an AUC of .75.
    scores = 1 / (1 + np.exp(-np.array([2.0, 1.0, 4.0, 1.0])))
    given: dict[str, Any] = {"requests": [0, 0, 1, 1], "repeated": [1, 0, 1, 0], "scores": scores}
    half = equal_share_penalty(**given, labels=[1, 0, 1, 0], share=0.5)
    assert half.penalty == pytest.approx(1.0, abs=1e-6)
    assert half.share == 0.5
    assert half.auc == 0.5
    none = equal_share_penalty(**given, labels=[1, np.nan, 1, np.nan], share=0.0)
    assert none.penalty == pytest.approx(3.0, abs=1e-6)
    assert none.share == 0.0
    assert np.isnan(none.auc)


def test_numbers_of_requests_by_hand() -> None:
    # One person, two windows: the first shows a repeat by either score, the second only by the baseline's.
    found = exposure_replay(
        requests=[0, 0, 1, 1],
        repeated=np.array([True, False, True, False]),
        baseline=[0.9, 0.1, 0.9, 0.1],
        scores=[0.9, 0.1, 0.2, 0.4],
        keys=[0, 0, 0, 0],
    )
    assert (found.share_baseline, found.share, found.change) == (1.0, 0.5, -50.0)
