"""The one place that loads TensorFlow Recommenders and TensorFlow Probability, which look for Keras by themselves.

TensorFlow Recommenders builds on `tf.keras` and rejects Keras 3; TensorFlow Probability uses whatever `tf.keras` is.
TensorFlow decides which Keras that is at the first access, by the environment variable `TF_USE_LEGACY_KERAS`. This
module sets the variable, and says what to do if the process has already decided otherwise. Everything else imports
`keras`, `tfrs` and `tfp` from here, or `tf_keras`. `tfp` takes as long to load as the whole package, so it is loaded
where it is first imported: in the functions of Gaussian processes that use it.
"""

from __future__ import annotations

import contextlib
import importlib
import logging
import os
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")

import tensorflow as tf
import tf_keras as keras

if TYPE_CHECKING:
    tfp: Any


def _require_keras_2() -> None:
    if tf.keras.Model is keras.Model:
        return
    raise ImportError(
        f"fullrank builds on Keras 2 (tf_keras), but tf.keras is already Keras {tf.keras.__version__} in this process. "
        "Import fullrank before anything touches tf.keras, or set the environment variable TF_USE_LEGACY_KERAS=1 "
        "before starting Python. A program that needs Keras 3 can use an exported model through keras.layers.TFSMLayer."
    )


_require_keras_2()

# TensorFlow Probability imports Keras 2 by this name, which is there only if the variable was set before TensorFlow.
sys.modules.setdefault("tensorflow.compat.v2.keras", importlib.import_module("tf_keras.api._v2.keras"))


@contextlib.contextmanager
def _past_scann_that_does_not_load() -> Iterator[None]:
    """Lets TensorFlow Recommenders be imported if the installed ScaNN was built for another TensorFlow.

    TensorFlow Recommenders imports `scann` if it is installed, and does without it only on an ImportError. A `scann`
    whose operators do not fit raises an error of TensorFlow instead. Here, it counts as not installed while TensorFlow
    Recommenders is imported; a later import of `scann` shows its own error. Nothing in fullrank needs it.
    """
    modules: dict[str, Any] = sys.modules
    try:
        importlib.import_module("scann.scann_ops")
    except ImportError:
        # Not installed, or TensorFlow Recommenders can handle it.
        yield
        return
    except Exception as error:
        logging.getLogger("fullrank").info("scann is installed, but does not load: %s", error)
    else:
        yield
        return
    modules["scann"] = None
    try:
        yield
    finally:
        del modules["scann"]


def __getattr__(name: str) -> Any:
    if name != "tfp":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return importlib.import_module("tensorflow_probability")


with _past_scann_that_does_not_load():
    import tensorflow_recommenders as tfrs

__all__ = ["keras", "tfp", "tfrs"]
