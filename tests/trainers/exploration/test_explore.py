"""Exploration on the simulated platform: parts by hand, and the command from start to resume."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
from ran_commands import run as exit_code

from fullrank.trainers import explore
from fullrank.trainers.exploration.config import ExploreConfig
from fullrank.trainers.exploration.regret import AMPLITUDE, platform_of, prior_covariance, simulate
from fullrank.trainers.exploration.run import explore_run

SMALL = ExploreConfig(
    output="none", rounds=6, requests=30, candidates=4, first_ads=8, new_ads=2, lifetime=4, segments=2, seeds=2
)


def test_prior_covariance_by_hand() -> None:
    platform = platform_of(SMALL, seed=1)
    found = prior_covariance(platform)
    apart = np.sum((platform.content[0] - platform.content[1]) ** 2) / 4
    assert found[0, 0] == pytest.approx(AMPLITUDE**2, rel=1e-5)
    assert found[0, 1] == pytest.approx(AMPLITUDE**2 * np.exp(-0.49))  # one ad, two segments
    assert found[0, 3] == pytest.approx(AMPLITUDE**2 * np.exp(-0.5 * (0.98 + 1.28 + 0.36 * apart)))
    np.testing.assert_allclose(found, found.T)


@pytest.mark.parametrize("policy", SMALL.policies)
def test_every_policy_plays_all_rounds(policy: str) -> None:
    platform = platform_of(SMALL, seed=1)
    found = simulate(platform, policy, seed=1, epsilon=0.1)
    assert len(found["regret"]) == 6
    assert np.all(np.diff(found["regret"]) >= -1e-9)
    assert sum(found["shown"]) == 6 * 30
    assert 0 <= found["ranked_share"] <= 1
    assert simulate(platform, policy, seed=1, epsilon=0.1) == found


def test_policies_start_alike_and_then_differ() -> None:
    platform = platform_of(SMALL, seed=2)
    greedy, thompson = (simulate(platform, policy, seed=2, epsilon=0.1) for policy in ("greedy", "thompson"))
    assert greedy["regret"][0] == thompson["regret"][0]
    assert greedy["regret"][-1] != thompson["regret"][-1]


def run(*flags: str) -> int:
    return exit_code(explore, *flags)


def test_the_command_reports_and_goes_on(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output = tmp_path / "explored"
    sizes = [
        f"--{name}={getattr(SMALL, name)}" for name in ("rounds", "requests", "candidates", "first_ads", "lifetime")
    ]
    flags = [
        f"--output={output}",
        f"--json={tmp_path / 'numbers.json'}",
        "--policies=greedy,epsilon_greedy,thompson",
        *sizes,
    ]
    assert run(*flags, "--seeds=2") == 0
    assert "| thompson " in capsys.readouterr().out
    assert {file.name for file in output.iterdir()} == {
        "results.jsonl",
        "report.md",
        "regret.png",
        "deviations.png",
        "settings.json",
    }
    numbers = json.loads((tmp_path / "numbers.json").read_text())
    assert numbers["dataset"] == "simulator"
    thompson = numbers["results"]["thompson"]
    assert thompson["regret"]["low"] < thompson["regret"]["value"] < thompson["regret"]["high"]
    gap = thompson["regret"]["value"] - numbers["results"]["epsilon_greedy"]["regret"]["value"]
    assert thompson["regret_difference"]["value"] == pytest.approx(gap)
    lines = (output / "results.jsonl").read_text().splitlines()
    assert len(lines) == 6
    # A run that was stopped in the middle of a line resumes.
    (output / "results.jsonl").write_text("\n".join(lines[:3]) + "\n" + lines[3][:40])
    assert run(*flags, "--seeds=3") == 0
    again = [json.loads(line) for line in (output / "results.jsonl").read_text().splitlines()]
    assert len(again) == 9
    assert [json.loads(line) for line in lines[:3]] == again[:3]
    assert "Seeds 1 to 3" in (output / "report.md").read_text()
    assert run(*flags, "--seeds=3", "--epsilon=0.2") == 1
    assert "results of other settings, --epsilon=0.02" in capsys.readouterr().err


def test_refuses_a_baseline_that_does_not_play(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not among --policies"):
        ExploreConfig(output=str(tmp_path), policies=("greedy",))
    with pytest.raises(ValueError, match="twice"):
        dataclasses.replace(SMALL, policies=("greedy", "epsilon_greedy", "greedy"))
    with pytest.raises(ValueError, match="--dataset=obd needs --raw_dir"):
        dataclasses.replace(SMALL, dataset="obd")
    with pytest.raises(ValueError, match="--requests has no effect with --dataset=hillstrom"):
        ExploreConfig(output="none", dataset="hillstrom", raw_dir="there", requests=30)
    with pytest.raises(ValueError, match="needs 4 candidates"):
        explore_run(dataclasses.replace(SMALL, output=str(tmp_path / "few"), first_ads=3, new_ads=0))
