"""Tables of int8 codes and scales in a checkpoint: their values, and what is said of one that does not fit."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from fullrank.analysis.inputs.checkpoint import read_checkpoint, read_int8

CODES = np.array([[1, -2], [127, 0], [-127, 5]], np.int8)
SCALES = np.array([[0.5], [0.1], [2.0]], np.float32)


@pytest.fixture
def prefix(tmp_path: Path) -> str:
    """A checkpoint of codes, their scales, and a matrix whose rows are others."""
    variables = {
        "codes": tf.Variable(CODES, name="set0/codes"),
        "scales": tf.Variable(SCALES, name="set0/scales"),
        "other": tf.Variable(SCALES[:2], name="set0/other"),
    }
    written: str = tf.train.Checkpoint(**variables).write(str(tmp_path / "weights"))
    return written


def test_rows_are_codes_times_their_scale(prefix: str) -> None:
    found = read_int8(prefix, codes="set0/codes", scales="set0/scales")
    assert (found.name, found.shape) == ("set0/codes", (3, 2))
    np.testing.assert_array_equal(found.read(), CODES.astype(np.float32) * SCALES)
    assert found.read().dtype == np.float32


def test_variables_that_are_not_there_or_do_not_fit_are_named(prefix: str) -> None:
    with pytest.raises(ValueError, match=r"weights has no variable 'set0/scale'\."):
        read_int8(prefix, codes="set0/codes", scales="set0/scale")
    with pytest.raises(ValueError, match=r"^set0/other of .* is \(2, 1\), which does not fit set0/codes, \(3, 2\)\.$"):
        read_int8(prefix, codes="set0/codes", scales="set0/other")


def test_a_damaged_file_is_named_whenever_it_is_noticed(prefix: str) -> None:
    found = read_int8(prefix, codes="set0/codes", scales="set0/scales")
    scales = next(variable for variable in read_checkpoint(prefix) if variable.name == "set0/scales")
    data = Path(f"{prefix}.data-00000-of-00001")
    # Every byte of the variables, so that no checksum of theirs holds.
    data.write_bytes(bytes(byte ^ 0xFF for byte in data.read_bytes()))
    with pytest.raises(ValueError, match=r"^set0/codes of the checkpoint .*weights cannot be read: "):
        found.read()
    with pytest.raises(ValueError, match=r"^scales/?.* of the checkpoint .*weights cannot be read: "):
        scales.read()
    with pytest.raises(ValueError, match=r"^The checkpoint .*weights cannot be read: "):
        read_int8(prefix, codes="set0/codes", scales="set0/scales")
