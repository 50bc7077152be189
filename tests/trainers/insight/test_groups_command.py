"""What groups are: usage and lift by hand, and the command that tells of a run's groups."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fullrank.analysis.comparisons.group_lift import code_usage, group_lifts
from fullrank.data.schema.columns import Column
from fullrank.trainers import groups, train
from fullrank.trainers.insight.groups_read import numbered_values


def test_usage_by_hand() -> None:
    # Shares 1/2, 1/4, 1/4 and none: entropy 1/2 ln 2 + 1/2 ln 4 = 1.5 ln 2, perplexity 2^1.5.
    found = code_usage([4, 2, 0, 2])
    np.testing.assert_allclose(found.shares, [0.5, 0.25, 0.0, 0.25])
    assert found.usage == 0.75
    assert found.perplexity == pytest.approx(2**1.5)
    assert code_usage([3, 0]).perplexity == pytest.approx(1.0)
    assert code_usage([5, 5, 5]).perplexity == pytest.approx(3.0)
    with pytest.raises(ValueError, match="not all 0"):
        code_usage([0, 0])


def test_lift_by_hand() -> None:
    # Group 0 has 4 of 8 examples, three of them with value 1; overall 4 of 8 have it: lift .75 / .5 = 1.5 and
    # z = .25 / sqrt(.25 / 4) = 1. Group 1 has value 0 in three of four (overall 3 of 8): lift 2,
    # z = .375 / sqrt(.375 x .625 / 4) = 1.549. The missing one counts in no value, but in the group.
    group = [0, 0, 0, 0, 1, 1, 1, 1]
    value = [1, 1, 1, -1, 0, 0, 0, 1]
    found = group_lifts(groups=group, values=value, least=1)
    assert [(lift.group, lift.value, lift.examples) for lift in found] == [(1, 0, 3), (0, 1, 3)]
    assert found[0].lift == pytest.approx(2.0)
    assert found[0].z == pytest.approx(0.375 / np.sqrt(0.375 * 0.625 / 4))
    assert found[1].lift == pytest.approx(1.5)
    assert found[1].z == pytest.approx(1.0)
    assert group_lifts(groups=group, values=value, least=4) == []
    assert group_lifts(groups=group, values=[-1] * 8) == []
    with pytest.raises(ValueError, match=r"Received: \(2,\) and \(1,\)"):
        group_lifts(groups=[0, 1], values=[1])


def test_lifts_are_the_slow_ones() -> None:
    draw = np.random.default_rng(0)
    group, value = draw.integers(0, 5, 2000), draw.integers(-1, 7, 2000)
    found = {(lift.group, lift.value): lift for lift in group_lifts(groups=group, values=value, least=5)}
    for which in range(5):
        for what in range(7):
            share = np.mean(value[group == which] == what)
            overall = np.mean(value == what)
            assert ((which, what) in found) == (share > overall)
            if (which, what) in found:
                assert found[which, what].share == pytest.approx(share)
                assert found[which, what].overall == pytest.approx(overall)


def test_numbers_are_told_by_quintile_and_missing_values_not_at_all() -> None:
    reals = np.array([np.nan, *np.arange(100)], np.float32)
    numbers, names = numbered_values(Column(name="age", dtype="float32"), reals)
    assert numbers[0] == -1
    np.testing.assert_array_equal(np.bincount(numbers[1:]), [20] * 5)
    assert names[0] == "0 to 19.8"
    assert numbered_values(Column(name="age", dtype="float32"), np.array([np.nan], np.float32))[0].tolist() == [-1]
    numbers, names = numbered_values(Column(name="shop", dtype="bytes"), np.array([b"b", b"", b"a"], object))
    assert [names[n] if n >= 0 else None for n in numbers] == ["b", None, "a"]


@pytest.fixture(scope="module")
def grouped_run(toy_records: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("grouped") / "run"
    train.run([
        "train", f"--data={toy_records}", f"--output={output}", "--batch_size=64", "--model=single", "--widths=4",
        "--experts=flat", "--hidden=8", "--tower=", "--epochs=2", "--progress=none", "--tensorboard=false",
        "--group_places=user,representation", "--group_levels=2", "--group_codes=4", "--table_learning_rate=0.2",
    ])  # fmt: skip
    return output


def test_the_command_tells_and_draws(grouped_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    groups.run(["groups", f"--run={grouped_run}", f"--output={tmp_path}/groups", "--largest=3", "--values=2"])
    printed = capsys.readouterr().out
    assert "The largest groups of the first level:" in printed
    assert "user " in printed
    content: dict[str, Any] = json.loads((tmp_path / "groups" / "groups.json").read_text())
    assert set(content) == {"user", "representation"}
    for place, found in content.items():
        assert len(found["levels"]) == 2
        for level in found["levels"]:
            assert sum(level["shares"]) == pytest.approx(1.0, abs=1e-4)
            assert len(level["shares"]) == 4
        assert 0 < len(found["groups"]) <= 3
        shares = [group["share"] for group in found["groups"]]
        assert shares == sorted(shares, reverse=True)
        assert shares[0] == pytest.approx(max(found["levels"][0]["shares"]), abs=1e-5)
        for group in found["groups"]:
            assert len(group["values"]) <= 2
            rate = group["labels"]["click"]
            assert rate["low"] <= rate["rate"] <= rate["high"]
        assert (tmp_path / "groups" / f"{place}_usage.png").stat().st_size > 5_000
        told = [value for group in found["groups"] for value in group["values"]]
        assert (tmp_path / "groups" / f"{place}_meaning.png").is_file() == bool(told)
        assert all(value["within"] > value["overall"] and value["examples"] >= 20 for value in told)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("--split=nowhere",), "nowhere"),
        (("--largest=0",), "--largest has to be at least 1"),
    ],
)
def test_wrong_flags(
    grouped_run: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str], flags: tuple[str, ...], message: str
) -> None:
    with pytest.raises(SystemExit):
        groups.run(["groups", f"--run={grouped_run}", f"--output={tmp_path}/groups", *flags])
    assert message in capfd.readouterr().err
    assert not (tmp_path / "groups").exists()


def test_a_run_without_groups(toy_run: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        groups.run(["groups", f"--run={toy_run}", f"--output={tmp_path}/groups"])
    assert "has learned no groups: train it with --group_places=user" in capfd.readouterr().err
