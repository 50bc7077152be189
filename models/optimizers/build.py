"""The optimiser of a whole model: a sparse one for its tables, a dense one for the rest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fullrank.layers.remote_rows import full_name
from fullrank.models.optimizers import grouped, spec


def build_optimizer(
    *,
    tables: Sequence[Any],
    table_optimizer: spec.OptimizerSpec,
    dense_optimizer: spec.OptimizerSpec,
    overrides: Mapping[str, spec.OptimizerSpec] | None = None,
) -> Any:
    """Builds a `keras.optimizers.Optimizer` for `model.compile`.

    Variables are distinguished by identity, never by name; names serve only as keys of `overrides`.

    Args:
      tables: The embedding tables; a sharded one counts as one. Any other variable of the model is trained densely.
      table_optimizer: For the tables, one of `spec.SPARSE_OPTIMIZERS`.
      dense_optimizer: For all other variables, one of `spec.DENSE_OPTIMIZERS`.
      overrides: A different sparse optimiser for single tables, by `table_name` or by the variable's full name; a name
        that several tables share applies to all of them. Default none.

    Returns:
      The dense optimiser itself if there are no tables, else a `GroupedOptimizer` whose first member is the dense one.

    Raises:
      ValueError: For an unknown optimiser, a parameter it does not have, or a name in `overrides` that no table has.
    """
    overrides = dict(overrides or {})
    dense = spec.build_dense(dense_optimizer)
    chosen = [_spec_of(table, overrides, table_optimizer) for table in tables]
    for name in overrides:
        if not any(name in _names(table) for table in tables):
            known = ", ".join(sorted({table_name(table) for table in tables})) or "none"
            raise ValueError(f"no table is named {name!r}, for which an optimizer was given. Tables: {known}")
    if not tables:
        spec.build_sparse(table_optimizer)
        return dense
    specs = list(dict.fromkeys(chosen))
    groups = [[table for table, its in zip(tables, chosen, strict=True) if its == each] for each in specs]
    return grouped.GroupedOptimizer([dense, *(spec.build_sparse(each) for each in specs)], groups)


def table_name(variable: Any) -> str:
    """The last part of a variable's name: "user" for "embedding_set/user:0" and for "embedding_set/user/part_2:0"."""
    return full_name(variable).rsplit("/", 1)[-1]


def _names(variable: Any) -> tuple[str, str]:
    return table_name(variable), full_name(variable)


def _spec_of(
    table: Any, overrides: Mapping[str, spec.OptimizerSpec], default: spec.OptimizerSpec
) -> spec.OptimizerSpec:
    short, full = _names(table)
    return overrides.get(full, overrides.get(short, default))
