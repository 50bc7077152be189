"""The one place that loads TensorFlow Recommenders, which needs Keras 2.

TensorFlow Recommenders builds on `tf.keras` and refuses Keras 3. TensorFlow decides which Keras `tf.keras` is when it
is first touched, by the environment variable `TF_USE_LEGACY_KERAS`. This module sets the variable, and says what to do
when the process has decided otherwise already. Everything else imports `keras` and `tfrs` from here, or `tf_keras`.
"""

from __future__ import annotations

import os

os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")

import tensorflow as tf
import tf_keras as keras


def _require_keras_2() -> None:
    if tf.keras.Model is keras.Model:
        return
    raise ImportError(
        f"fullrank builds on Keras 2 (tf_keras), but tf.keras is already Keras {tf.keras.__version__} in this process. "
        "Import fullrank before anything touches tf.keras, or set the environment variable TF_USE_LEGACY_KERAS=1 "
        "before starting Python. A program that needs Keras 3 can use an exported model through keras.layers.TFSMLayer."
    )


_require_keras_2()

import tensorflow_recommenders as tfrs  # noqa: E402

__all__ = ["keras", "tfrs"]
