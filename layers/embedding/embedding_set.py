"""An embedding set: every feature as a field of one width ([Tencent] §4.2).

The initial values of a table are drawn in place, without a copy of it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras as keras

from fullrank.layers.checks.arguments import derived_seed, require_counts
from fullrank.layers.embedding.compact_rows import CompactRows, RowDtype
from fullrank.layers.embedding.lookup_plan import (
    BehaviourPart,
    BehaviourSequence,
    Block,
    Field,
    LookupPlan,
    Lookups,
    Table,
)
from fullrank.layers.embedding.narrow_rows import NarrowRows
from fullrank.layers.remote_rows import full_name, gather_rows


@keras.saving.register_keras_serializable(package="fullrank")
class UniformRows(keras.initializers.Initializer):
    """Uniform values in ±`scale`, as `keras.initializers.RandomUniform`, at half the time and a third of the memory.

    Keras scales and shifts the random numbers in separate operations, each with its own result: a table of
    10 M rows of width 16, 0.64 GB, temporarily needs 1.9 GB. In one graph the operations work in place.

    The same seed and shape give the same values. A shard of a table on parameter servers draws only its own part.

    Args:
      scale: Largest absolute value, >= 0.
      seed: An integer; None draws one from TensorFlow's global generator at every call.
    """

    def __init__(self, scale: float, seed: int | None = None) -> None:
        if not scale >= 0.0:
            raise ValueError(f"UniformRows needs scale >= 0. Received: scale={scale}")
        self.scale = scale
        self.seed = seed

    def __call__(
        self,
        shape: Any,
        dtype: Any = None,
        *,
        partition_shape: Any = None,
        partition_offset: Any = None,
    ) -> tf.Tensor:
        """Values of `shape`; or, for a shard, of `partition_shape`, which begins at `partition_offset`."""
        drawn = tf.constant(tf.TensorShape(shape if partition_shape is None else partition_shape).as_list(), tf.int64)
        first_row = 0 if partition_offset is None else int(partition_offset[0])
        if self.seed is None:
            seed = tf.random.uniform([2], maxval=tf.int64.max, dtype=tf.int64)
        else:
            seed = tf.constant([self.seed, first_row], tf.int64)
        dtype = tf.as_dtype(dtype or keras.backend.floatx())
        return _uniform(drawn, seed, tf.cast(self.scale, dtype))

    def get_config(self) -> dict[str, Any]:
        """The arguments."""
        return {"scale": self.scale, "seed": self.seed}


@tf.function(reduce_retracing=True, autograph=False)
def _uniform(shape: tf.Tensor, seed: tf.Tensor, scale: tf.Tensor) -> tf.Tensor:
    return tf.random.stateless_uniform(shape, seed, -scale, scale, dtype=scale.dtype)


@keras.saving.register_keras_serializable(package="fullrank")
class EmbeddingSet(keras.layers.Layer):
    """Looks every field of a plan up in tables, and gives all fields one width.

    Field f of example b is `e_bf = sum_k w_bfk E_t(f)[row_bfk]`. Tables are stored in `table_variables` variables,
    several tables stacked by rows: one gather serves all tables of a variable, and a training step deduplicates a few
    variables instead of every table. One variable is best for serving, a few for training, `None` (one
    per table) for comparison. Rows are kept in float32, and only looked-up rows are cast to the compute dtype.

    A table of the plan may be narrower than the set: `NarrowRows` maps its rows to the width of the set.

    Call arguments:
      lookups: `Lookups` with rows `[B, W]` and weights `[B, W - U]`.

    Returns:
      Fields `[B, F, d]`, in the order of `plan.field_names`.

    Args:
      plan: The plan of the lookups.
      width: d, the width of every field, and of the rows of every table for which the plan gives none.
      table_variables: Number of variables into which the tables are merged; `None` for one per table.
      initial_scale: Rows start uniform in ±`initial_scale`.
      seed: Seed of the initial rows; `None` draws from the global generator.
    """

    def __init__(
        self,
        plan: LookupPlan,
        width: int,
        *,
        table_variables: int | None = 2,
        initial_scale: float = 0.05,
        seed: int | None = None,
        name: str | None = None,
        dtype: Any = None,
        trainable: bool = True,
    ) -> None:
        super().__init__(name=name, dtype=dtype, trainable=trainable)
        require_counts("EmbeddingSet", width=width)
        self.plan = plan
        self.width = width
        self.table_variables = table_variables
        self.initial_scale = initial_scale
        self.seed = seed
        self._runs = plan.merged(table_variables, width=width)
        self._widths = tuple(run[0].width_in(width) for run in self._runs)
        self._place_in_run = {table.name: place for run in self._runs for place, table in enumerate(run)}
        self._narrow = [
            NarrowRows(
                len(run),
                narrow=narrow,
                width=width,
                seed=derived_seed(seed, len(self._runs) + v),
                name=f"narrow_{v}",
                dtype=dtype,
            )
            if narrow < width
            else None
            for v, (run, narrow) in enumerate(zip(self._runs, self._widths, strict=True))
        ]
        self._variable_of = {table.name: v for v, run in enumerate(self._runs) for table in run}
        self._offset = {}
        self.compact_tables: list[CompactRows] = []
        self._stacked = self._no_dependency([])  # a set without tables, as of a model that reads numbers alone
        for run in self._runs:
            starts = np.cumsum([0, *(table.rows for table in run)])
            self._offset.update({table.name: int(start) for table, start in zip(run, starts, strict=False)})

    def build(self, input_shape: Any) -> None:
        """Creates the table variables, in the order of `stored_tables`."""
        added = [
            self.add_weight(
                name=run[0].name if len(run) == 1 else f"tables_{v}",
                shape=(sum(table.rows for table in run), width),
                dtype="float32",
                initializer=UniformRows(self.initial_scale, derived_seed(self.seed, v)),
                experimental_autocast=False,
            )
            for v, (run, width) in enumerate(zip(self._runs, self._widths, strict=True))
        ]
        self._stacked = self._no_dependency(added)
        for narrow in filter(None, self._narrow):
            narrow.build(None)
        super().build(input_shape)

    @property
    def variables_of_tables(self) -> list[tf.Variable]:
        """The table variables; each may be in shards, which `weights` lists singly."""
        return list(self._stacked)

    @property
    def stored_tables(self) -> list[tuple[tuple[Table, ...], int]]:
        """The tables that each of `variables_of_tables` holds, stacked by rows, and the width of its rows."""
        return list(zip(self._runs, self._widths, strict=True))

    def compact(self, dtype: RowDtype) -> None:
        """Looks rows up in copies of the tables that take fewer bytes, for serving; do not train on.

        `weights` keep the float32 rows, which nothing reads afterwards; `compact_tables` are what is read.

        Raises:
          ValueError: If a row is not finite.
        """
        self.compact_tables = [CompactRows(table, dtype) for table in self._stacked]
        self._stacked = self._no_dependency(list(self.compact_tables))

    def call(self, lookups: Lookups) -> tf.Tensor:
        """Returns the fields, `[B, F, d]`."""
        return self.of_plan(self.plan, self._checked(lookups))

    def of_plan(self, plan: LookupPlan, lookups: Lookups) -> tf.Tensor:
        """Returns the fields of a plan that has some of this set's fields, looked up in its tables. Needs `build`."""
        parts = [self._pooled(block, lookups, plan.unweighted) for block in plan.blocks(self._variable_of)]
        return parts[0] if len(parts) == 1 else tf.concat(parts, axis=1)

    def _checked(self, given: Any) -> Lookups:
        if not isinstance(given, (tuple, list)) or len(given) != len(Lookups._fields):
            raise TypeError(f"EmbeddingSet {self.name!r} takes Lookups. Received: {type(given).__name__}.")
        lookups, looked_up = Lookups(*given), sum(field.lookups for field in self.plan.fields)
        wanted = [("rows", lookups.rows, looked_up, "integers")]
        if looked_up > self.plan.unweighted:
            wanted.append(("weights", lookups.weights, looked_up - self.plan.unweighted, "floats"))
        for name, values, width, kind in wanted:
            message = f"EmbeddingSet {self.name!r} takes {name} [B, {width}] of {kind}. Received:"
            dtype = tf.as_dtype(getattr(values, "dtype", "string"))
            if not (dtype.is_integer if kind == "integers" else dtype.is_floating):
                raise TypeError(f"{message} {type(values).__name__} of {dtype.name}.")
            shape = tf.TensorShape(values.shape)
            if not shape.is_compatible_with([None, width]):
                raise ValueError(f"{message} shape {shape}.")
        return lookups

    def _pooled(self, block: Block, lookups: Lookups, first: int) -> tf.Tensor:
        """The fields of a block; `first` is the first lookup that has a weight."""
        field = block.fields[0]
        offsets = np.repeat([self._offset[f.table] for f in block.fields], field.lookups)
        rows = lookups.rows[:, block.start : block.stop]
        embedded = self._gather(block.variable, rows, offsets)
        if field.weighted:
            weights = lookups.weights[:, block.start - first : block.stop - first]
            embedded *= tf.cast(weights, embedded.dtype)[:, :, tf.newaxis]
        if field.lookups > 1:
            shape = (-1, len(block.fields), field.lookups, embedded.shape[-1])
            embedded = tf.reduce_sum(tf.reshape(embedded, shape), axis=2)
        narrow = self._narrow[block.variable]
        if narrow is None:
            return embedded
        return narrow(embedded, tuple(self._place_in_run[each.table] for each in block.fields))

    def behaviours(self, sequence: BehaviourSequence, lookups: Lookups) -> tf.Tensor:
        """Embeds the behaviours of a sequence: `[B, L, n d]` for n parts that are compared with a field.

        `TemporalInterest` compares `e_i` with `v_t`, which therefore have one width: the compared parts are
        concatenated, as the fields are in `target`. A part that describes the behaviour alone, o_i, has no counterpart
        there and is added to each of them, as the paper adds the temporal encoding p_i: `e_i = [a_i1 + o_i ; ... ; a_in
        + o_i]`. So it affects the attention and the weighted sum, but the target does not contain it.
        """
        compared: list[tf.Tensor] = []
        alone: list[tf.Tensor] = []
        rows, widths = lookups.sequences[sequence.name], [part.lookups for part in sequence.parts]
        for part, own in zip(sequence.parts, tf.split(rows, widths, axis=2), strict=True):
            (alone if part.target is None else compared).append(self._behaviour(part, own))
        if alone:
            compared = [part + tf.add_n(alone) for part in compared]
        return tf.concat(compared, axis=-1)

    def _behaviour(self, part: BehaviourPart, found: tf.Tensor) -> tf.Tensor:
        """Embeds one part of the behaviours, `[B, L, lookups]` -> `[B, L, d]`."""
        rows, narrow = self._behaviour_rows(part, found), self._narrow[self._variable_of[part.table]]
        return rows if narrow is None else narrow.of_table(rows, self._place_in_run[part.table])

    def _behaviour_rows(self, part: BehaviourPart, found: tf.Tensor) -> tf.Tensor:
        """The sum of the rows of each behaviour, `[B, L, k]`."""
        variable, start = self._variable_of[part.table], np.asarray(self._offset[part.table])
        if not part.bits:
            embedded = self._gather(variable, found, start)
            return embedded[:, :, 0] if part.lookups == 1 else tf.reduce_sum(embedded, axis=2)
        found = found[:, :, 0]
        # The sum over a HashID's bits as one product: it needs the few rows of the table, not K rows per behaviour.
        rows = self._gather(variable, tf.range(1 + 2 * part.bits, dtype=found.dtype), start)
        zeros, ones = rows[1::2], rows[2::2]
        known = tf.reduce_sum(zeros, axis=0) + tf.tensordot(_bits_of(found - 1, part.bits, rows.dtype), ones - zeros, 1)
        return tf.where((found > 0)[:, :, tf.newaxis], known, rows[0])

    def target(self, sequence: BehaviourSequence, fields: tf.Tensor) -> tf.Tensor:
        """The fields that a sequence's behaviours are compared with: `[B, F, d]` -> `[B, n d]`."""
        places = [self.plan.field_names.index(name) for name in sequence.targets]
        return tf.reshape(tf.gather(fields, places, axis=1), (-1, len(places) * self.width))

    def _gather(self, variable: int, rows: tf.Tensor, offsets: np.ndarray[Any, Any]) -> tf.Tensor:
        rows, table = rows + tf.constant(offsets, dtype=rows.dtype), self._stacked[variable]
        found = table.gather(rows) if isinstance(table, CompactRows) else gather_rows(table, rows)
        return tf.cast(found, self.compute_dtype)

    def table(self, name: str) -> tf.Tensor:
        """The rows of one table as they are stored, `[N, k]`, cut out of its variable."""
        start = self._offset[name]
        rows = next(table.rows for table in self.plan.tables if table.name == name)
        stacked = self._stacked[self._variable_of[name]]
        return stacked.part(start, start + rows) if isinstance(stacked, CompactRows) else stacked[start : start + rows]

    def map_of(self, name: str) -> tf.Tensor:
        """The matrix `[k, d]` that maps the rows of one table to the set's width: the identity if they have it."""
        narrow = self._narrow[self._variable_of[name]]
        return tf.eye(self.width) if narrow is None else narrow.kernel[self._place_in_run[name]]

    def assign_tables(self, source: EmbeddingSet) -> None:
        """Copies every table from a set of the same plan and width; how tables are merged into variables may differ."""
        if source.width != self.width or source.plan != self.plan:
            raise ValueError(f"Set {self.name!r} can only take tables from a set of equal plan and width.")
        for variable, run in zip(self._stacked, self._runs, strict=True):
            variable.assign(tf.concat([source.table(table.name) for table in run], axis=0))
        for narrow, run in zip(self._narrow, self._runs, strict=True):
            if narrow is not None:
                narrow.kernel.assign(tf.stack([source.map_of(table.name) for table in run]))

    def get_config(self) -> dict[str, Any]:
        """The arguments, with the plan as plain data."""
        return {
            **super().get_config(),
            "plan": dataclasses.asdict(self.plan),
            "width": self.width,
            "table_variables": self.table_variables,
            "initial_scale": self.initial_scale,
            "seed": self.seed,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> EmbeddingSet:
        """Rebuilds the plan from plain data."""
        plan = config["plan"]
        sequences = tuple(
            BehaviourSequence(
                name=s["name"], parts=tuple(BehaviourPart(**part) for part in s["parts"]), length=s["length"]
            )
            for s in plan["sequences"]
        )
        restored = LookupPlan(
            tables=tuple(Table(**t) for t in plan["tables"]),
            fields=tuple(Field(**f) for f in plan["fields"]),
            sequences=sequences,
        )
        return cls(**{k: v for k, v in config.items() if k != "plan"}, plan=restored)


def _bits_of(codes: tf.Tensor, bits: int, dtype: tf.DType) -> tf.Tensor:
    """The bits of whole numbers `[B, L]`, the lowest first: `[B, L, bits]`."""
    places = tf.range(bits, dtype=codes.dtype)
    shifted = tf.bitwise.right_shift(codes[:, :, tf.newaxis], places)
    return tf.cast(tf.bitwise.bitwise_and(shifted, tf.ones([], codes.dtype)), dtype)


def variables_by_name(sets: Mapping[str, EmbeddingSet]) -> dict[str, tf.Variable]:
    """The embedding variables of sets by `set/table`, or `set/tables_v` where tables share a variable."""
    return {
        f"{name}/{full_name(variable).rpartition('/')[2]}": variable
        for name, layer in sets.items()
        for variable in layer.variables_of_tables
    }
