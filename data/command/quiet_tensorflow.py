"""Imports TensorFlow without the lines it writes about drivers and instruction sets.

TensorFlow logs them before it can be told not to, straight to file descriptor 2; a command that a person runs should
not begin with twelve lines on CUDA. Whoever wants them sets TF_CPP_MIN_LOG_LEVEL=0.

One line comes later, and as an error: "oneDNN supports DT_INT32 only on platforms with AVX-512". It comes on every
processor when integers are first transposed, and means no more than that oneDNN leaves that to TensorFlow. A process
writes it once, so a transposition during the import brings it forward to where it is held back; errors that come
afterwards are shown as they are.

Python does not look for garbage during the import, which makes hundreds of thousands of objects that stay: it would
take half a second of processor time.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import os
import sys
import tempfile
from collections.abc import Iterator


def import_tensorflow_quietly(*, starts: bool = True) -> None:
    """Imports TensorFlow with Keras 2, and looks for GPUs; what it logs on the way is shown only if it fails.

    Afterwards TensorFlow has its threads: their numbers are set before, by TF_NUM_INTRAOP_THREADS and
    TF_NUM_INTEROP_THREADS.

    Args:
      starts: Whether TensorFlow starts, after which devices cannot be divided and processes cannot be joined.
    """
    # TensorFlow Recommenders needs Keras 2, and TensorFlow decides for one or the other when it is first touched.
    os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")
    if os.environ.get("TF_CPP_MIN_LOG_LEVEL") == "0" or "tensorflow" in sys.modules:
        return
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    with _held_back_stderr():
        with _no_garbage():
            tensorflow = importlib.import_module("tensorflow")
        tensorflow.config.list_physical_devices("GPU")
        if starts:
            with tensorflow.device("CPU"):
                tensorflow.transpose(tensorflow.zeros([1, 2], tensorflow.int32))


@contextlib.contextmanager
def _no_garbage() -> Iterator[None]:
    """Keeps Python from looking for garbage, and afterwards from looking through what was made within."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        if enabled:
            gc.enable()


@contextlib.contextmanager
def _held_back_stderr() -> Iterator[None]:
    sys.stderr.flush()
    try:
        saved = os.dup(2)
    except OSError:  # no standard error at all
        yield
        return
    with tempfile.TemporaryFile() as held:
        os.dup2(held.fileno(), 2)
        try:
            yield
        except BaseException:
            sys.stderr.flush()
            os.dup2(saved, 2)
            held.seek(0)
            os.write(2, held.read())
            raise
        finally:
            os.dup2(saved, 2)
            os.close(saved)
