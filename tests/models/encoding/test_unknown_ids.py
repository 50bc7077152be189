"""Ids read as unknown in training: how many, which rows stay, and that the row of unknown ids learns."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from fullrank.data.schema.features import IdMap
from fullrank.models.encoding.id_rows import IdColumn, IdRows
from fullrank.models.encoding.unknown_ids import UnknownIds


def test_a_share_of_the_known_ids_is_read_as_unknown() -> None:
    rows = tf.constant(np.tile([[0, 1, 2, 7]], (20_000, 1)), tf.int64)
    layer = UnknownIds(0.25)
    found = layer(rows, training=True).numpy()
    assert not found[:, 0].any()  # missing
    assert (found[:, 1] == 1).all()
    for place, row in ((2, 2), (3, 7)):
        assert set(np.unique(found[:, place])) == {1, row}
        # A binomial share of .25 of 20,000 has a deviation of .003.
        assert (found[:, place] == 1).mean() == pytest.approx(0.25, abs=0.015)
    unknown = found == 1
    assert np.corrcoef(unknown[:, 2], unknown[:, 3])[0, 1] == pytest.approx(0.0, abs=0.03)


@pytest.mark.parametrize("training", [False, None])
def test_serving_reads_what_is_there(training: bool | None) -> None:
    rows = tf.constant([[0, 1, 2, 7]], tf.int64)
    assert UnknownIds(0.9)(rows, training=training) is rows
    assert UnknownIds(0.0)(rows, training=True) is rows


@pytest.mark.parametrize(("share", "level"), [(0.001, 1), (0.1, 26), (0.9999, 255)])
def test_a_share_is_a_number_of_256ths(share: float, level: int) -> None:
    rows = tf.fill([1001, 101], tf.constant(5, tf.int64))
    found = UnknownIds(share)(rows, training=True).numpy()
    assert set(np.unique(found)) == {1, 5}
    expected = level / 256
    deviation = np.sqrt(expected * (1 - expected) / found.size)
    assert (found == 1).mean() == pytest.approx(expected, abs=5 * deviation)


def test_only_vocabularies_have_unknown_ids_to_learn() -> None:
    columns = [IdColumn(name=kind, dtype="int64", width=1, table=kind) for kind in ("identity", "hash", "vocabulary")]
    maps = {kind: IdMap(kind=kind, size=10) for kind in ("identity", "hash", "vocabulary")}
    ids = IdRows(columns=columns, maps=maps, vocabularies={"vocabulary": np.arange(5)}, unknown_share=0.5)
    batch = {kind: tf.fill([4000], tf.constant(3, tf.int64)) for kind in maps}
    served, trained = ids(batch), ids(batch, training=True)
    for kind in ("identity", "hash"):
        np.testing.assert_array_equal(served[kind], trained[kind])
    np.testing.assert_array_equal(served["vocabulary"], np.full((4000, 1), 5))
    assert (trained["vocabulary"].numpy() == 1).mean() == pytest.approx(0.5, abs=0.04)
