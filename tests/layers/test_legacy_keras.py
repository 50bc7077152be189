"""What happens when TensorFlow Recommenders is loaded beside an optional package that does not fit."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

from fullrank.layers import legacy_keras

BROKEN = "import tensorflow as tf\nraise tf.errors.NotFoundError(None, None, '_scann_ops.so: undefined symbol')\n"
CHILD = """
from fullrank.layers.legacy_keras import tfrs
assert not tfrs.layers.factorized_top_k._HAVE_SCANN
try:
    import scann
except Exception as error:
    print("scann says", type(error).__name__)
"""

TRAINING = """
import sys
import fullrank.trainers.training.train_model
print(*sorted({"tensorflow_probability", "sklearn", "scipy.stats", "matplotlib", "pandas"} & set(sys.modules)))
"""


def make_scann(directory: Path, text: str) -> Path:
    package = directory / "scann" / "scann_ops"
    package.mkdir(parents=True)
    (directory / "scann" / "__init__.py").write_text(text, encoding="utf-8")
    (package / "__init__.py").write_text("", encoding="utf-8")
    return directory


@pytest.fixture
def without_scann(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for name in [name for name in sys.modules if name.split(".")[0] == "scann"]:
        monkeypatch.delitem(sys.modules, name)
    return monkeypatch


def test_a_scann_built_for_another_tensorflow_does_not_stop_the_import(tmp_path: Path) -> None:
    path = os.pathsep.join([str(make_scann(tmp_path, BROKEN)), os.environ.get("PYTHONPATH", "")])
    child = subprocess.run(
        [sys.executable, "-c", CHILD],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert child.returncode == 0, child.stderr
    assert child.stdout.strip() == "scann says NotFoundError"


def test_a_scann_that_loads_is_left_alone(tmp_path: Path, without_scann: pytest.MonkeyPatch) -> None:
    without_scann.syspath_prepend(make_scann(tmp_path, ""))
    with legacy_keras._past_scann_that_does_not_load():
        assert importlib.import_module("scann.scann_ops").__file__ == str(tmp_path / "scann/scann_ops/__init__.py")
    for name in ("scann.scann_ops", "scann"):
        del sys.modules[name]


@pytest.mark.parametrize("text", [BROKEN, "import no_such_module\n"])
def test_an_error_of_anything_else_is_not_hidden(tmp_path: Path, without_scann: pytest.MonkeyPatch, text: str) -> None:
    without_scann.syspath_prepend(make_scann(tmp_path, text))
    with pytest.raises(OSError, match="not about scann"), legacy_keras._past_scann_that_does_not_load():
        raise OSError("not about scann")
    assert "scann" not in sys.modules


def test_training_loads_nothing_that_takes_long_and_that_it_does_not_use() -> None:
    child = subprocess.run([sys.executable, "-c", TRAINING], capture_output=True, text=True, check=False)
    assert (child.returncode, child.stdout.strip()) == (0, ""), child.stderr


def test_tensorflow_probability_is_there_where_it_is_asked_for() -> None:
    assert legacy_keras.tfp.__name__ == "tensorflow_probability"
    with pytest.raises(AttributeError, match="'no_such_name'"):
        legacy_keras.no_such_name  # noqa: B018
