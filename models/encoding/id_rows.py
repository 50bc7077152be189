"""Raw ids to table rows, for many id columns at once, inside the model graph.

Row 0 is a missing id, row 1 an id outside the map, known ids follow. A string id is first reduced to 63 bits by a fast
fingerprint; a vocabulary then is a single hash table for *all* features, keyed by a mix of feature and id, so that a
batch costs one table lookup and not one per feature. Building the table checks for two ids with the same key. With
several hash functions an id has as many rows, side by side.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from fullrank.data.schema.columns import MISSING_INT
from fullrank.data.schema.features import IdMap
from fullrank.models.encoding.named_columns import NamedColumns
from fullrank.models.encoding.unknown_ids import UnknownIds

UNKNOWN_ROW = 1
FIRST_KNOWN_ROW = 2
_BUCKETS = 2**63 - 1
_GOLDEN = 0x9E3779B97F4A7C15
_NEXT_HASH = 0xD1B54A32D192ED03
_MIX_1 = np.uint64(0xBF58476D1CE4E5B9)
_MIX_2 = np.uint64(0x94D049BB133111EB)


@dataclasses.dataclass(frozen=True, kw_only=True)
class IdColumn:
    """One id column: its name, dtype, width in a batch (1 for a single id) and the table whose rows it names."""

    name: str
    dtype: str
    width: int
    table: str


class IdRows(tf.Module):
    """Maps the id columns of a batch to rows.

    Attributes:
      columns: The id columns.
      known: The hash table of the ids in vocabularies; `None` without any.

    Args:
      columns: The id columns.
      maps: Table -> its id map.
      vocabularies: Table -> its known ids (int64, or objects of bytes), row 2 first, for tables with a vocabulary.
      unknown_share: Share of the ids of vocabularies that training reads as unknown.
      known_of: One of the same maps, of these columns and perhaps more, whose hash table is taken for this one's.
    """

    def __init__(
        self,
        *,
        columns: Sequence[IdColumn],
        maps: Mapping[str, IdMap],
        vocabularies: Mapping[str, np.ndarray[Any, Any]],
        unknown_share: float = 0.0,
        known_of: IdRows | None = None,
    ) -> None:
        super().__init__(name="id_rows")
        order = {"identity": 0, "hash": 1, "vocabulary": 2}
        self.columns = tuple(sorted(columns, key=lambda c: (order[maps[c.table].kind], c.dtype)))
        for column in self.columns:
            if column.dtype == "bytes" and maps[column.table].kind == "identity":
                raise ValueError(
                    f"Feature {column.name!r}: string ids need a vocabulary or a hash, not an identity map."
                )
        self._salts = {table: np.uint64((k + 1) * _GOLDEN % 2**64) for k, table in enumerate(sorted(maps))}
        self._maps = dict(maps)
        self.known: tf.lookup.StaticHashTable | None = (
            self._build_table(vocabularies) if known_of is None else known_of.known
        )
        # Without a share there is no generator, which checkpoints of older runs do not hold.
        self._unknown = UnknownIds(unknown_share) if unknown_share else None

    def _build_table(self, vocabularies: Mapping[str, np.ndarray[Any, Any]]) -> tf.lookup.StaticHashTable | None:
        needed = sorted({c.table for c in self.columns if self._maps[c.table].kind == "vocabulary"})
        if not needed:
            return None
        keys, rows = [], []
        for table in needed:
            ids = _as_integers(tf.constant(vocabularies[table]))
            keys.append(_mixed(ids, tf.constant(self._salts[table])).numpy())
            rows.append(np.arange(len(vocabularies[table]), dtype=np.int64) + FIRST_KNOWN_ROW)
        merged = np.concatenate(keys)
        if len(np.unique(merged)) != len(merged):
            raise ValueError(
                f"Two ids of the vocabularies of {', '.join(needed)} share a 64-bit fingerprint, or an id is listed "
                "twice. Remove the repeated line, or give the feature an id map of kind 'hash'."
            )
        initializer = tf.lookup.KeyValueTensorInitializer(tf.constant(merged), tf.constant(np.concatenate(rows)))
        return tf.lookup.StaticHashTable(initializer, default_value=UNKNOWN_ROW, name="known_ids")

    @property
    def hashed_texts(self) -> tuple[str, ...]:
        """The columns of texts whose rows are hashes."""
        return tuple(c.name for c in self.columns if c.dtype == "bytes" and self._maps[c.table].kind == "hash")

    def __call__(
        self,
        batch: Mapping[str, tf.Tensor],
        training: bool | None = None,
        *,
        columns: Collection[str] | None = None,
    ) -> NamedColumns:
        """Rows of the named id columns, int64; of every one by default. A column has `hashes` rows per id."""
        wanted = [column for column in self.columns if columns is None or column.name in columns]
        found: list[tf.Tensor] = []
        for kind in ("identity", "hash", "vocabulary"):
            of_kind = [c for c in wanted if self._maps[c.table].kind == kind]
            if of_kind:
                # Columns of one dtype are concatenated before anything is computed: for a request of one row, one
                # operation per column would cost more than all the arithmetic.
                runs = [list(run) for _, run in itertools.groupby(of_kind, key=lambda c: c.dtype)]
                raw = [_side_by_side([batch[c.name] for c in run]) for run in runs]
                ids = _joined([_as_integers(part) for part in raw])
                missing = _joined([_is_missing(part) for part in raw])
                repeats = np.repeat([self._maps[c.table].hashes for c in of_kind], [c.width for c in of_kind])
                if np.any(repeats > 1):
                    ids, missing = (tf.repeat(part, repeats, axis=1) for part in (ids, missing))
                rows = self._rows(kind, of_kind, ids)
                if kind == "vocabulary" and self._unknown is not None:
                    rows = self._unknown(rows, training=training)
                found.append(tf.where(missing, tf.zeros([], tf.int64), rows))
        names, widths = zip(*((c.name, c.width * self._maps[c.table].hashes) for c in wanted), strict=True)
        return NamedColumns(names, widths, _joined(found))

    def _rows(self, kind: str, columns: Sequence[IdColumn], ids: tf.Tensor) -> tf.Tensor:
        hashes = [self._maps[column.table].hashes for column in columns]
        widths = [column.width * number for column, number in zip(columns, hashes, strict=True)]
        sizes = tf.constant(np.repeat([self._maps[c.table].size for c in columns], widths), tf.int64)
        if kind == "identity":
            inside = (ids >= 0) & (ids < sizes)
            return tf.where(inside, ids + FIRST_KNOWN_ROW, tf.ones([], tf.int64))
        salts = np.repeat(np.array([self._salts[c.table] for c in columns]), widths)
        numbers = np.concatenate([np.tile(np.arange(h), c.width) for c, h in zip(columns, hashes, strict=True)])
        keys = _mixed(ids, tf.constant(salts + numbers.astype(np.uint64) * np.uint64(_NEXT_HASH)))
        if kind == "vocabulary" and self.known is not None:
            # A lookup in a table hides the shape from converters of the graph.
            return tf.ensure_shape(self.known.lookup(keys), keys.shape)
        return tf.math.floormod(keys, sizes) + FIRST_KNOWN_ROW


def text_codes(texts: tf.Tensor) -> tf.Tensor:
    """The fingerprints of texts, 0 to 2^63 - 2."""
    return tf.strings.to_hash_bucket_fast(texts, _BUCKETS)


def _as_integers(ids: tf.Tensor) -> tf.Tensor:
    return text_codes(ids) if ids.dtype == tf.string else tf.cast(ids, tf.int64)


def _is_missing(ids: tf.Tensor) -> tf.Tensor:
    return ids == "" if ids.dtype == tf.string else ids == MISSING_INT


def _side_by_side(columns: list[tf.Tensor]) -> tf.Tensor:
    """Columns `[B]` or `[B, n]` -> `[B, sum n]`."""
    if all(column.shape.rank == 1 for column in columns):
        return tf.stack(columns, axis=1)
    return _joined([column[:, tf.newaxis] if column.shape.rank == 1 else column for column in columns])


def _joined(parts: list[tf.Tensor]) -> tf.Tensor:
    return parts[0] if len(parts) == 1 else tf.concat(parts, axis=1)


def _mixed(ids: tf.Tensor, salts: tf.Tensor) -> tf.Tensor:
    """SplitMix64's finaliser over id and salt: a bijection for a fixed salt, so no new collision within a feature."""
    bits = tf.bitcast(ids, tf.uint64) + salts
    bits = tf.bitwise.bitwise_xor(bits, tf.bitwise.right_shift(bits, tf.constant(30, tf.uint64))) * _MIX_1
    bits = tf.bitwise.bitwise_xor(bits, tf.bitwise.right_shift(bits, tf.constant(27, tf.uint64))) * _MIX_2
    bits = tf.bitwise.bitwise_xor(bits, tf.bitwise.right_shift(bits, tf.constant(31, tf.uint64)))
    return tf.bitcast(bits, tf.int64)
