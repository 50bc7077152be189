"""Exploration on real logs: replay and off-policy estimates by hand, and the command on made-up and on real files."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import numpy as np
import pytest
from ran_commands import run as exit_code

from fullrank.data.sources import obd
from fullrank.models.exploration import CountedProcess
from fullrank.trainers import explore
from fullrank.trainers.exploration.campaign import arm_values, replay
from fullrank.trainers.exploration.logs import BanditLog, read_hillstrom, read_obd
from fullrank.trainers.exploration.values import UNIFORM, action_probabilities, learned

COLUMNS = "recency,history_segment,history,mens,womens,zip_code,newbie,channel,treatment,conversion,visit,spend\n"
ARMS = ("Mens E-Mail", "No E-Mail", "Womens E-Mail")
RATES = np.array([0.8, 0.1, 0.3])


def even_log(rows: int, *, seed: int = 0) -> BanditLog:
    """Three arms drawn evenly in two contexts that do not matter; the first arm is the best."""
    draw = np.random.default_rng(seed)
    action = draw.integers(0, 3, rows)
    return BanditLog(
        actions=ARMS,
        contexts=np.array([[0], [1]]),
        context=draw.integers(0, 2, rows),
        action=action,
        reward=(draw.random(rows) < RATES[action]).astype(np.float64),
        propensity=np.full(rows, 1 / 3),
    )


@pytest.fixture(scope="module")
def campaign(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A campaign of 1,200 customers, whose men's e-mail works."""
    folder = tmp_path_factory.mktemp("hillstrom")
    log = even_log(1200)
    lines = [
        f'{k % 12},"1) $0 - $100",30.0,{context},1,Rural,0,Web,{ARMS[action]},0,{int(reward)},0.0\n'
        for k, (context, action, reward) in enumerate(zip(log.context, log.action, log.reward, strict=True))
    ]
    (folder / "hillstrom.csv").write_text(COLUMNS + "".join(lines))
    return folder


@pytest.fixture(scope="module")
def bandit(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Logs of both policies of the campaign `men`, in which item 3 is clicked half the time and others rarely."""
    folder, items = tmp_path_factory.mktemp("obd"), obd.ITEMS["men"]
    affinities = [f"user-item_affinity_{k}" for k in range(items)]
    for seed, policy in enumerate(obd.POLICIES):
        directory = folder / policy / "men"
        directory.mkdir(parents=True)
        draw = np.random.default_rng(seed)
        chances = np.full(items, 1 / items)
        if policy == "bts":
            chances = 0.5 * chances + 0.5 * (np.arange(items) == 3)
        shown = draw.choice(items, size=1500, p=chances)
        clicked = draw.random(1500) < np.where(shown == 3, 0.5, 0.05)
        lines = [
            f"{k},2019-11-24 00:01:03.979310+00:00,{item},{k % 3 + 1},{int(click)},{chances[item]},a,b,c,d,"
            + ",".join(["0.0"] * items)
            + "\n"
            for k, (item, click) in enumerate(zip(shown, clicked, strict=True))
        ]
        header = ",".join(["", "timestamp", "item_id", "position", "click", "propensity_score", *obd.USER, *affinities])
        with gzip.open(directory / "men.csv.gz", "wt") as file:
            file.write(header + "\n" + "".join(lines))
        context = "".join(f"{k},{k},0.5,x,y,z\n" for k in range(items))
        (directory / "item_context.csv").write_text(f",item_id,{','.join(obd.ITEM)}\n" + context)
    return folder


def run(*flags: str) -> int:
    return exit_code(explore, *flags)


def test_cells_and_prior_by_hand() -> None:
    log = BanditLog(
        actions=("a", "b"),
        contexts=np.array([[0, 0], [0, 1]]),
        context=np.array([0, 1]),
        action=np.array([1, 0]),
        reward=np.zeros(2),
        propensity=np.full(2, 0.5),
    )
    assert log.cells.tolist() == [1, 2]
    assert log.offered(np.array([1])).tolist() == [[2, 3]]
    found = log.prior_covariance()
    assert found[0, 1] == pytest.approx(np.exp(-0.64))  # other action
    assert found[0, 2] == pytest.approx(np.exp(-0.5 * 0.4 / 2))  # contexts that differ in one part of two
    assert found[0, 3] == pytest.approx(np.exp(-0.5 * (1.28 + 0.2)))


@pytest.mark.parametrize("policy", ["greedy", "epsilon_greedy", "ucb", "thompson", "joint_thompson"])
def test_replay_meets_a_third_and_learns_the_best_arm(policy: str) -> None:
    log = even_log(3000)
    found = replay(log, policy, seed=1, rounds=20, epsilon=0.1)
    matched = found["matched"]
    # 3,000 draws with probability 1/3: four deviations of 26.
    assert len(matched) == pytest.approx(1000, abs=104)
    assert len(np.unique(matched)) == len(matched)
    assert found["rates"][-1] == pytest.approx(log.reward[matched].mean())
    assert found["shown"].sum() == len(matched)
    # Late rows are of the best arm.
    assert np.mean(log.action[matched[-200:]] == 0) > 0.8
    assert len(found["rates"]) == 20


def in_the_world(seed: int, *, rounds: int, rows: int) -> float:
    """What greedy earns, in expectation, if it answers a third of the rows itself instead of a log."""
    draw, earned = np.random.default_rng((seed, 9)), []
    process: CountedProcess | None = None
    for _ in range(rounds):
        number = draw.binomial(rows, 1 / 3)
        context = draw.integers(0, 2, number)
        action = draw.integers(0, 3, number)
        if process is not None:
            action = process.mean.reshape(2, 3)[context].argmax(axis=1)
        reward = draw.random(number) < RATES[action]
        earned.append(RATES[action].mean())
        if process is None:
            rate = np.clip(reward.mean(), 1e-4, 1 - 1e-4)
            process = CountedProcess(even_log(1).prior_covariance(), prior_mean=float(np.log(rate / (1 - rate))))
        process.observe(context * 3 + action, reward.astype(np.float64))
    return float(np.mean(earned))


def test_a_replay_is_without_bias() -> None:
    """Over 300 logs, three times the rewards that match have the mean of a policy that learns in the world."""
    replayed = []
    for seed in range(300):
        log = even_log(90, seed=seed)
        matched = replay(log, "greedy", seed=seed, rounds=3, epsilon=0.1)["matched"]
        replayed.append(3 * log.reward[matched].sum() / 90)
    world = [in_the_world(seed, rounds=3, rows=30) for seed in range(300)]
    assert np.mean(world) > 0.5  # any at random would earn .4
    error = np.hypot(np.std(replayed), np.std(world)) / 300**0.5
    assert error < 0.015
    assert np.mean(replayed) == pytest.approx(np.mean(world), abs=3.5 * error)


def test_replay_refuses_what_is_not_even() -> None:
    log = even_log(30)
    uneven = BanditLog(**{**vars(log), "propensity": np.linspace(0.1, 0.5, 30)})
    with pytest.raises(ValueError, match="drawn evenly"):
        replay(uneven, "greedy", seed=1, rounds=3, epsilon=0.1)
    with pytest.raises(ValueError, match="as many rows"):
        replay(log, "greedy", seed=1, rounds=31, epsilon=0.1)


def test_probabilities_of_actions_by_hand() -> None:
    log = even_log(10)
    # Two cells matter in context 0: N(0, 1) against N(1, 1) and N(-9, tiny): P(second wins) = Phi(1 / sqrt 2) = .760.
    process = CountedProcess(np.diag([1.0, 1.0, 1e-6, 1e-6, 1e-6, 1e-6]), prior_mean=0.0)
    process.mean = np.array([0.0, 1.0, -9.0, 0.0, 2.0, 1.0])
    for policy in ("thompson", "joint_thompson"):
        found = action_probabilities(process, log, policy, seed=1, epsilon=0.3)
        assert found[0] == pytest.approx([0.240, 0.760, 0.0], abs=0.027)  # four errors of 4,000 draws
        assert found[1] == pytest.approx([0.0, 1.0, 0.0])
    found = action_probabilities(process, log, "epsilon_greedy", seed=1, epsilon=0.3)
    assert found[1] == pytest.approx([0.1, 0.8, 0.1], abs=0.026)
    assert action_probabilities(process, log, UNIFORM, seed=1, epsilon=0.3) == pytest.approx(np.full((2, 3), 1 / 3))


def test_a_log_without_a_reward_teaches_nothing() -> None:
    log = BanditLog(**{**vars(even_log(30)), "reward": np.zeros(30)})
    with pytest.raises(ValueError, match="rewards are all 0"):
        learned(log)


def test_hillstrom_through_the_command(campaign: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output = tmp_path / "replayed"
    flags = ["--dataset=hillstrom", f"--raw_dir={campaign}", f"--output={output}", "--rounds=10"]
    flags += ["--policies=epsilon_greedy,thompson", "--seeds=2", f"--json={tmp_path / 'numbers.json'}"]
    assert run(*flags) == 0
    printed = capsys.readouterr().out
    assert "| always Mens E-Mail " in printed
    assert {file.name for file in output.iterdir()} == {
        "results.jsonl", "report.md", "rates.png", "deviations.png", "settings.json",
    }  # fmt: skip
    found = json.loads((tmp_path / "numbers.json").read_text())["results"]
    # Nearly always the men's e-mail, worth .8 where the others are worth .1 and .3.
    assert found["thompson"]["replay"]["value"] > 0.6
    assert found["thompson"]["replay"]["low"] < found["thompson"]["replay"]["value"]
    assert found["thompson"]["ips"]["value"] == pytest.approx(found["thompson"]["replay"]["value"], abs=0.15)
    assert found["constant"]["any at random"]["value"] == pytest.approx(0.4, abs=0.06)
    before = (output / "results.jsonl").read_text()
    assert run(*flags) == 0
    assert (output / "results.jsonl").read_text() == before
    assert run(*flags, "--rounds=11") == 1
    assert "results of other settings, --rounds=10" in capsys.readouterr().err


def test_obd_through_the_command(bandit: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output = tmp_path / "valued"
    flags = ["--dataset=obd", f"--raw_dir={bandit}", f"--output={output}", "--policies=greedy,epsilon_greedy"]
    assert run(*flags, f"--json={tmp_path / 'numbers.json'}") == 0
    assert "learned from the log of bts, valued by that of random" in capsys.readouterr().out
    assert {file.name for file in output.iterdir()} == {
        "results.jsonl", "report.md", "values_by_random.png", "values_by_bts.png", "deviations.png", "settings.json",
    }  # fmt: skip
    found = json.loads((tmp_path / "numbers.json").read_text())["results"]
    for judge in ("random", "bts"):
        own = found[f"valued_by_{judge}"]["men"]
        for estimator in ("ips", "snips", "dr"):
            # Greedy shows item 3, which is clicked half the time; any at random is worth .05 + .45 / 34 = .063.
            assert own["greedy"][estimator]["low"] < 0.5 < own["greedy"][estimator]["high"]
            assert own["greedy"][estimator]["low"] > own["uniform"][estimator]["value"]
            assert own["uniform"][estimator]["low"] < 0.063 < own["uniform"][estimator]["high"]
    # The log's own policy is worth half of each.
    assert found["own"]["men"]["bts"]["value"] == pytest.approx(0.28, abs=0.05)
    assert found["valued_by_random"]["men"]["greedy"]["difference"]["value"] > 0.1


def test_obd_needs_both_policies(bandit: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "random").symlink_to(bandit / "random")
    assert run("--dataset=obd", f"--raw_dir={tmp_path}", f"--output={tmp_path / 'out'}") == 1
    assert "has no log of bts for men: both policies are needed" in capsys.readouterr().err


def test_hillstrom_itself(real_data: Path) -> None:
    log = read_hillstrom(real_data / "hillstrom")
    assert len(log.reward) == 64_000
    values = arm_values(log)
    # Published: visits of 18.28 % after the men's e-mail, 15.14 % after the women's, 10.62 % after none.
    assert values["always Mens E-Mail"].value == pytest.approx(0.1828, abs=5e-5)
    assert values["always Womens E-Mail"].value == pytest.approx(0.1514, abs=5e-5)
    assert values["always No E-Mail"].value == pytest.approx(0.1062, abs=5e-5)
    found = replay(log, "greedy", seed=1, rounds=10, epsilon=0.1)
    assert len(found["matched"]) == pytest.approx(64_000 / 3, abs=500)
    assert values["any at random"].value < found["rates"][-1]


def test_obd_itself(real_data: Path) -> None:
    logs = read_obd(real_data / "obd")
    assert {name: len(each["bts"].actions) for name, each in logs.items()} == obd.ITEMS
    assert sum(log.reward.sum() for each in logs.values() for log in each.values()) == 287
    random = logs["men"]["random"]
    assert random.propensity == pytest.approx(np.full(10_000, 1 / 34), rel=1e-4)
    assert len(random.contexts) == 3
