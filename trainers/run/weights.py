"""The best weights of a run, without optimiser state, for evaluation and export.

They must be finite. Errors about saved weights are one line that says how to repair them.
"""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, Final

import tensorflow as tf
import tf_keras as keras
from google.protobuf.message import DecodeError

_BLOCK: Final = 1 << 24
_NAMED: Final = 3
READING_ERRORS: Final = (
    AssertionError,
    DecodeError,
    IndexError,
    OSError,
    RuntimeError,
    TypeError,
    ValueError,
    tf.errors.OpError,
)
"""Errors of `tf.train.Checkpoint.restore`: other variables, or a file that is cut off, damaged or missing."""
_OF_OTHER_VARIABLES: Final = (AssertionError, ValueError)
_LONGEST: Final = 300
BEST_KEPT: Final = 1
_REPAIR: Final = "copy the run directory again from where it was trained, or train it again with --overwrite."


def not_finite(variables: Iterable[tf.Variable]) -> list[str]:
    """Names of the variables that hold a NaN or an infinite number, in their order.

    One sum over each variable detects them: a NaN or infinite summand makes the sum not finite, and a sum needs no
    extra memory, as a mask over a large table would. A sum may also overflow over finite numbers, so a variable whose
    sum is not finite is checked again, block by block.
    """
    return [
        str(variable.name).removesuffix(":0")
        for variable in variables
        if variable.dtype.is_floating and not _is_finite(variable)
    ]


def describe_not_finite(names: Sequence[str]) -> str:
    """A few of the names, and their total number."""
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more


def _is_finite(variable: tf.Variable) -> bool:
    # At a parameter server, if that holds the variable.
    with tf.device(variable.device):
        total = tf.reduce_sum(variable)
    if math.isfinite(float(total)):
        return True
    flat = tf.reshape(variable, [-1])
    blocks = (flat[start : start + _BLOCK] for start in range(0, int(tf.size(flat)), _BLOCK))
    return all(bool(tf.reduce_all(tf.math.is_finite(block))) for block in blocks)


def _number(path: str) -> int:
    number = path.rpartition("-")[2]
    return int(number) if number.isdecimal() else -1


def newest_first(manager: tf.train.CheckpointManager, directory: Path) -> list[str]:
    """The checkpoints of a directory; if its list of them cannot be read, those whose files exist."""
    listed = [str(path) for path in manager.checkpoints]
    found = listed or [str(file.with_suffix("")) for file in directory.glob("*-*.index")]
    return sorted(found, key=_number, reverse=True)


def is_misfit(error: BaseException) -> bool:
    """Whether a checkpoint has other variables, rather than being damaged."""
    return isinstance(error, _OF_OTHER_VARIABLES)


def reason(error: BaseException) -> str:
    """TensorFlow's message in one line."""
    text: Any = getattr(error, "message", None) or str(error)
    return " ".join(str(text).split())[:_LONGEST].rstrip(".")


def _manager(model: keras.Model, directory: Path) -> tf.train.CheckpointManager:
    # A checkpoint of the model itself would hold its optimiser, which can be larger than the weights. Such a checkpoint
    # finds everything else by these attributes, regardless of the names that Keras gives layers in this process.
    attributes = {
        name: part
        for name, part in model._trackable_children().items()
        if part is not model.optimizer and name.isidentifier()
    }
    return tf.train.CheckpointManager(
        tf.train.Checkpoint(**attributes), str(directory), max_to_keep=BEST_KEPT, checkpoint_name="weights"
    )


def save_best(model: keras.Model, directory: Path) -> None:
    """Replaces the best weights by the model's; the old ones are kept until the new ones are complete."""
    saver_of_best(model, directory)()


def saver_of_best(model: keras.Model, directory: Path) -> Callable[[], None]:
    """Makes the function that does what `save_best` does; made outside of `fit`, it creates no variable within."""
    manager = _manager(model, directory)
    create_counter(manager.checkpoint)

    def save() -> None:
        # A new number each time: files of the same name would be replaced one by one, and a kill could leave them
        # mixed.
        last = next(iter(newest_first(manager, directory)), None)
        number = int(last.rsplit("-", 1)[1]) + 1 if last else 1
        try:
            manager.save(checkpoint_number=number)
        finally:
            remove_debris(directory, keep=BEST_KEPT)

    return save


def create_counter(checkpoint: tf.train.Checkpoint) -> None:
    """Creates the variable that counts the saves of a checkpoint, which TensorFlow would do at the first one.

    In the scope of a strategy a variable is created by all processes, for all of them; but one of them saves alone.
    """
    _ = checkpoint.save_counter


def restore_best(model: keras.Model, directory: Path) -> None:
    """Loads the best weights into a model of the same configuration.

    Raises:
      ValueError: If there are none, or they cannot be read, belong to another model, or are not finite.
    """
    manager = _manager(model, directory)
    file = next(iter(newest_first(manager, directory)), None)
    if file is None:
        raise ValueError(f"{directory} holds no weights: the run has not finished an epoch yet.")
    try:
        manager.checkpoint.restore(file).assert_existing_objects_matched().expect_partial()
    except READING_ERRORS as error:
        if is_misfit(error):
            raise ValueError(f"The weights {file} do not fit the model of this run: {reason(error)}.") from error
        raise ValueError(f"The weights {file} cannot be read: {reason(error)}. {_REPAIR.capitalize()}") from error
    broken = not_finite(model.weights)
    if broken:
        raise ValueError(
            f"The weights {file} hold NaN or infinite numbers in {describe_not_finite(broken)}: training had diverged. "
            "Train again with a lower --learning_rate and --overwrite."
        )


def remove_debris(directory: Path, *, keep: int) -> None:
    """Removes leftovers of a killed or failed save: files of incomplete checkpoints, and surplus checkpoints.

    TensorFlow lists a new checkpoint before it deletes an old one, so that a kill leaves the old one, or its data
    without the index, in the list. Nothing is removed if the list, the file `checkpoint`, exists but cannot be read.

    Args:
      directory: Directory of the checkpoints.
      keep: Number of newest checkpoints that are kept.
    """
    if not directory.is_dir():
        return
    state = tf.train.get_checkpoint_state(str(directory))
    listed = [Path(path).name for path in state.all_model_checkpoint_paths] if state else []
    if not listed and (directory / "checkpoint").exists():
        return
    whole = [name for name in listed if (directory / f"{name}.index").exists()][-keep:]
    for entry in directory.iterdir():
        if entry.name == "checkpoint" or entry.name.split(".")[0] in whole:
            continue
        if entry.is_dir():
            shutil.rmtree(entry)
        else:
            entry.unlink()
