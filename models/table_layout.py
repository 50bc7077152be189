"""Writes down where a ranker keeps its tables, so that they can be read without its code."""

from __future__ import annotations

import itertools

from fullrank.data.schema.saved_tables import CrossMatrix, StoredTable, TableLayout, TableVariable
from fullrank.layers.embedding.compact_rows import CompactRows
from fullrank.layers.embedding.embedding_set import EmbeddingSet
from fullrank.layers.interactions.cross_net import CrossNetV2
from fullrank.layers.remote_rows import full_name
from fullrank.models.ranker import Ranker


def table_layout(model: Ranker) -> TableLayout:
    """The variables, rows and names of all tables of a model, and the first matrix of each CrossNet expert."""
    variables = [found for name, layer in model.sets.items() for found in _variables(name, layer)]
    crosses = []
    for spec, expert in zip(model.wiring.experts, model.trunk.experts, strict=True):
        if isinstance(expert.interaction, CrossNetV2):
            inputs = model.trunk.inputs_of_sets[spec.set]
            tables = {field.name: field.table for field in inputs.embeddings.plan.fields}
            crosses.append(
                CrossMatrix(
                    expert=spec.name,
                    set=spec.set,
                    fields=model.trunk.field_names,
                    tables=tuple(tables.get(name) for name in model.trunk.field_names),
                    scope=full_name(expert.interaction.first_kernels[0]).rsplit("/", 2)[0],
                )
            )
    return TableLayout(variables=tuple(variables), crosses=tuple(crosses))


def _variables(name: str, layer: EmbeddingSet) -> list[TableVariable]:
    found = []
    for variable, (run, width) in zip(layer.variables_of_tables, layer.stored_tables, strict=True):
        starts = itertools.accumulate((table.rows for table in run), initial=0)
        tables = tuple(
            StoredTable(name=table.name, start=start, rows=table.rows)
            for table, start in zip(run, starts, strict=False)
        )
        stored, scales = variable, None
        if isinstance(variable, CompactRows):
            stored, scales = variable.stored, variable.scales
        found.append(
            TableVariable(
                variable=full_name(stored),
                set=name,
                width=width,
                tables=tables,
                scales=None if scales is None else full_name(scales),
            )
        )
    return found
