"""The replay of an export: what the script writes for each warm-up request, and how answers are judged."""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from fullrank.models.serving import check, replay
from fullrank.models.serving.check import ExportMismatchError, check_export, compared
from fullrank.models.serving.warmup import write_warmup


class Scorer(tf.Module):
    """A model of two signatures, one of which answers with texts."""

    @tf.function(input_signature=[tf.TensorSpec([None], tf.float32, name="age")])
    def score(self, age: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"click": age / 10.0, "group": tf.cast(age, tf.int64) % 3}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="shop")])
    def name(self, shop: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"name": tf.strings.join([b"shop ", shop])}


SHOPS = np.array([b"a", b"bcd"], object)
AGES = np.array([1.0, 2.0, 5.0], np.float32)
EXPECTED = [
    ("serving_default", {"click": AGES / 10, "group": np.array([1, 2, 2])}),
    ("names", {"name": np.array([b"shop a", b"shop bcd"], object)}),
]


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SavedModel with one warm-up request for each signature."""
    directory, model = tmp_path_factory.mktemp("exported") / "1", Scorer()
    signatures = {"serving_default": model.score, "names": model.name}
    tf.saved_model.save(model, str(directory), signatures=signatures)
    write_warmup(directory, [("serving_default", {"age": AGES}), ("names", {"shop": SHOPS})])
    return directory


def test_the_script_answers_every_request_in_order(exported: Path, tmp_path: Path) -> None:
    replay.main(str(exported), str(tmp_path / "answers.npz"))
    with np.load(tmp_path / "answers.npz", allow_pickle=False) as loaded:
        answers = dict(loaded)
    assert set(answers) == {"0/click", "0/group", "0/seconds", "1/name", "1/seconds"}
    np.testing.assert_allclose(answers["0/click"], AGES / 10)
    assert answers["1/name"].tolist() == [b"shop a", b"shop bcd"]
    assert answers["0/seconds"].shape == answers["1/seconds"].shape == (replay.CALLS,)
    found = [compared(n, signature, outputs, answers, 1e-6) for n, (signature, outputs) in enumerate(EXPECTED)]
    assert [(entry.signature, entry.rows) for entry in found] == [("serving_default", 3), ("names", 2)]


def test_answers_that_differ_are_named(exported: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def in_this_process(directory: Path, answers: Path, *, working: str) -> None:
        replay.main(str(directory), str(answers))

    monkeypatch.setattr(check, "_replay", in_this_process)
    assert len(check_export(exported, expected=EXPECTED, tolerance=1e-6)) == 2
    for changed, message in (
        ({"click": AGES / 10 + 0.25}, r"'serving_default' .* differs from the model by 0\.25 in task 'click' \(3 rows"),
        ({"click": AGES[:2] / 10}, r"gave \(3,\) for task 'click', the model itself \(2,\)"),
        ({"like": AGES}, r"gave nothing for task 'like'"),
        ({"group": np.array([0, 0, 0])}, r"gave other codes than the model for 'group' in 3 of 3 rows"),
    ):
        with pytest.raises(ExportMismatchError, match=message):
            check_export(exported, expected=[("serving_default", changed)], tolerance=1e-3)


def test_infinities_that_are_equal_do_not_differ() -> None:
    values = np.array([np.inf, -np.inf, 2000.0])
    answers = {"0/watch": np.array([np.inf, -np.inf, 2001.0]), "0/seconds": np.array([3.0, 1.0, 2.0])}
    found = compared(0, "serving_default", {"watch": values}, answers, 1e-3)
    # Relative to values above 1, and the median of the calls.
    assert found.difference == pytest.approx(1 / 2000)
    assert found.seconds == 2.0
    with pytest.raises(ExportMismatchError, match="differs from the model by"):
        compared(0, "serving_default", {"watch": -values}, answers, 1e-3)


def test_a_process_that_ends_is_told_with_its_last_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ended = subprocess.CompletedProcess([], 1, b"", b"Traceback\nOSError: no such model \n\n")
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: ended)
    with pytest.raises(ExportMismatchError, match=r"process without fullrank: OSError: no such model$"):
        check_export(tmp_path, expected=EXPECTED, tolerance=1e-6)
    silent = subprocess.CompletedProcess([], -9, b"", b"")
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: silent)
    with pytest.raises(ExportMismatchError, match=r"process without fullrank: exit code -9$"):
        check_export(tmp_path, expected=EXPECTED, tolerance=1e-6)
