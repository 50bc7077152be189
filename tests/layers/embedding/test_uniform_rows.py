"""The first values of a table: range, seeds, shards, and no copy of the table."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras

from fullrank.layers.embedding.embedding_set import UniformRows

# Peak memory of a process of its own, in units of the table (64 MB), above what it held before.
_PEAK = """
import tensorflow as tf
from fullrank.layers.embedding.embedding_set import UniformRows

def kilobytes(name):
    return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith(name))

UniformRows(0.1, seed=1)((10, 16))
before = kilobytes("VmRSS")
variable = tf.Variable(UniformRows(0.1, seed=1)((1_000_000, 16)))
print((kilobytes("VmHWM") - before) * 1024 / 64e6)
"""


def test_values_are_uniform_in_the_range() -> None:
    values = UniformRows(0.25, seed=3)((4000, 5)).numpy()
    assert values.shape == (4000, 5)
    assert np.abs(values).max() <= 0.25
    # Mean 0 and variance (2 x .25)^2 / 12, within five standard errors of 20,000 draws.
    assert abs(values.mean()) < 5 * np.sqrt(0.25 / 12 / 20_000)
    assert values.var() == pytest.approx(0.25 / 12, rel=0.05)


def test_seeds() -> None:
    def draw(seed: int | None) -> tf.Tensor:
        return UniformRows(1.0, seed)((3, 2)).numpy()

    np.testing.assert_array_equal(draw(1), draw(1))
    assert not np.array_equal(draw(1), draw(2))
    keras.utils.set_random_seed(5)
    first, second = draw(None), draw(None)
    assert not np.array_equal(first, second)
    keras.utils.set_random_seed(5)
    np.testing.assert_array_equal(draw(None), first)


def test_shards_differ_and_have_their_own_shape() -> None:
    shards = [
        UniformRows(1.0, seed=1)((6, 2), "float32", partition_shape=(3, 2), partition_offset=(row, 0)).numpy()
        for row in (0, 3)
    ]
    assert [shard.shape for shard in shards] == [(3, 2), (3, 2)]
    assert not np.array_equal(*shards)


def test_dtype_and_round_trip() -> None:
    initializer = keras.initializers.deserialize(keras.initializers.serialize(UniformRows(0.5, seed=7)))
    assert isinstance(initializer, UniformRows)
    assert initializer.get_config() == {"scale": 0.5, "seed": 7}
    assert initializer((2, 2), "bfloat16").dtype == tf.bfloat16
    assert initializer(tf.TensorShape([2, 2])).dtype == tf.float32


def test_negative_scale_is_refused() -> None:
    with pytest.raises(ValueError, match="scale >= 0"):
        UniformRows(-0.1)


@pytest.mark.skipif(sys.platform != "linux", reason="reads the peak memory from /proc")
def test_a_table_is_drawn_without_a_copy() -> None:
    found = subprocess.run([sys.executable, "-c", _PEAK], capture_output=True, text=True, check=True)
    # One table and a few megabytes of the allocator; Keras' RandomUniform takes three tables.
    assert float(found.stdout) < 1.5
