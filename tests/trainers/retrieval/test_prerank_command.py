"""A pre-ranker from a ranker's run, through its command."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from fullrank.data import read_records
from fullrank.trainers import prerank
from fullrank.trainers.retrieval.build import load_pre_ranker
from fullrank.trainers.retrieval.train_prerank import teacher_of
from fullrank.trainers.training.load_run import load_run

FLAGS = (
    "--batch_size=128", "--queries=64", "--candidates=12", "--top=3", "--kept=5", "--widths=8", "--hidden=16",
    "--vector_width=8", "--dropout=0", "--notensorboard", "--progress=none", "--table_learning_rate=0.2",
    "--learning_rate=0.01", "--epochs=4", "--patience=none", "--meeting=4",
)  # fmt: skip


@pytest.fixture(scope="module")
def light(toy_records: Path, toy_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("light") / "run"
    prerank.run(["prerank", f"--data={toy_records}", f"--teacher={toy_run}", f"--output={output}", *FLAGS])
    return output


def test_it_learns_the_order_of_the_ranker(light: Path) -> None:
    result = json.loads((light / "result.json").read_text())
    # Of 13 candidates a random order lets 5 / 13 = .38 through.
    assert result["best"]["val_consistency"] > 0.6
    assert result["monitor"] == "val_consistency"


def test_the_ranker_scores_each_pair_as_it_would_alone(light: Path, toy_run: Path, toy_records: Path) -> None:
    loaded, ranker = load_pre_ranker(light), load_run(toy_run)
    catalogue = {name: values.numpy() for name, values in loaded.model.towers.catalogue.items()}
    teach = teacher_of(ranker, "click", catalogue=catalogue)
    batch = next(iter(read_records(toy_records, split="test", batch_size=5)))
    places = tf.constant([3, 0, 7], tf.int64)
    found = teach(batch, places).numpy()
    assert found.shape == (5, 4)
    np.testing.assert_allclose(found[:, 0], ranker.model.logits(batch, training=False)["click"], rtol=1e-4)
    for column, place in enumerate(places.numpy()):
        ads = loaded.model.towers.catalogue.items()
        changed = {**batch, **{name: tf.repeat(values[place : place + 1], 5, axis=0) for name, values in ads}}
        wanted = ranker.model.logits(changed, training=False)["click"]
        np.testing.assert_allclose(found[:, 1 + column], wanted, rtol=1e-4, atol=1e-5)
    scores = loaded.model.scores_of(batch, places)
    np.testing.assert_allclose(scores[:, 0], loaded.model(batch, training=False), rtol=1e-5)


def test_bad_input(
    toy_records: Path, toy_run: Path, light: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def refused(*arguments: str) -> str:
        with pytest.raises(SystemExit):
            prerank.run(["prerank", f"--data={toy_records}", f"--output={tmp_path / 'none'}", *arguments])
        (line,) = [each for each in capsys.readouterr().err.splitlines() if each.startswith("error: ")]
        assert not (tmp_path / "none").exists()
        return line

    assert "is a run of `fullrank prerank`, not of `fullrank train`" in refused(f"--teacher={light}")
    assert "no such binary task; did you mean 'click'" in refused(f"--teacher={toy_run}", "--task=clik")
    assert "--top is at most --kept" in refused(f"--teacher={toy_run}", "--top=30")
    assert "is not a run directory" in refused(f"--teacher={tmp_path}")
