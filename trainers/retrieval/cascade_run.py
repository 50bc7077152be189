"""Puts runs together into a cascade, exports and evaluates it."""

from __future__ import annotations

import dataclasses
import shlex
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from fullrank.analysis.comparisons.tables import format_table
from fullrank.data.reading.read import read_records
from fullrank.data.schema.json import read_schema
from fullrank.data.schema.schema import Schema
from fullrank.data.schema.vocabulary import read_vocabulary
from fullrank.models import Ranker
from fullrank.models.retrieval.cascade import Cascade
from fullrank.models.retrieval.served_index import ServedIndex
from fullrank.models.retrieval.sides import ad_columns
from fullrank.models.retrieval.stages import PrerankStage, RankStage
from fullrank.models.serving.export import check_free
from fullrank.trainers.retrieval.build import LoadedPreRanker, LoadedTowers, load_pre_ranker, load_towers
from fullrank.trainers.retrieval.cascade_config import CascadeConfig
from fullrank.trainers.retrieval.cascade_evaluate import WholeCatalogue
from fullrank.trainers.retrieval.cascade_export import write_cascade
from fullrank.trainers.retrieval.catalogue import FILE, load_catalogue
from fullrank.trainers.retrieval.given_ads import read_ads
from fullrank.trainers.retrieval.index_run import vectors_of
from fullrank.trainers.retrieval.survivors import cascade_metrics
from fullrank.trainers.run.run_directory import write_json
from fullrank.trainers.run.same_schema import check_same_columns
from fullrank.trainers.training.load_run import LoadedRun, load_run
from fullrank.trainers.training.records import explained

_COLUMNS: Final = ("retrieved", "kept", "recall", "answered", "top", "rows", "ne", "auc", "bias")


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Runs:
    retrieval: LoadedTowers
    prerank: LoadedPreRanker | None
    rank: LoadedRun


def cascade_run(config: CascadeConfig) -> dict[str, Any]:
    """Exports the cascade, prints the latency of its stages and what they keep, and writes JSON if a file is named.

    Returns:
      What the file holds.

    Raises:
      ValueError: If runs, ads and records do not fit together, or there are fewer ads than K1.
    """
    target = check_free(config.output, config.version)
    runs = _Runs(
        retrieval=load_towers(config.retrieval),
        prerank=None if config.prerank is None else load_pre_ranker(config.prerank),
        rank=load_run(config.rank),
    )
    cascade, vectors = _build(config, runs)
    records = _records(config, cascade, runs.retrieval.config.data.data) if config.queries else None
    replayed = write_cascade(cascade, target, output=config.output, parts=config.parts)
    kept = " -> ".join(f"{number:,}" for number in dict.fromkeys((config.retrieve, config.kept, config.answered)))
    print(f"{target}: {cascade.index.ads:,} ads -> {kept} by {cascade.rank.task}, from")
    print(f"  {', '.join(column.name for column in cascade.query_columns)}")
    print(format_table(rows=[_latency(each) for each in replayed], columns=("signature", "rows", "ms", "difference")))
    content: dict[str, Any] = {
        "ads": cascade.index.ads,
        "latency": [_latency(each) for each in replayed],
    }
    if records is not None:
        content |= _evaluated(config, cascade, records, vectors=vectors)
        if config.json is not None:
            write_json(content, Path(config.json))
    print(f"Next: fullrank request --export={shlex.quote(config.output)} --example=2")
    return content


def _build(config: CascadeConfig, runs: _Runs) -> tuple[Cascade, npt.NDArray[np.float32]]:
    towers = runs.retrieval.model
    file = Path(config.ads) if config.ads is not None else runs.retrieval.directory.path / FILE
    load = load_catalogue if config.ads is None else read_ads
    ads = load(file, schema=runs.retrieval.schema)
    number = len(ads[towers.item.name])
    if number < config.retrieve:
        raise ValueError(f"--retrieve={config.retrieve} ads cannot be answered by an index of {number:,} ads.")
    if number < max(config.try_retrieve, default=0):
        raise ValueError(f"--try_retrieve={max(config.try_retrieve)} is more than the {number:,} ads of the index.")
    ids, vectors = ads[towers.item.name], vectors_of(towers, ads)
    index = ServedIndex(towers, ids=ids, vectors=vectors, at=config.retrieve, most_exclusions=config.most_exclusions)
    prerank = None
    if runs.prerank is not None:
        light, teacher = runs.prerank.model, runs.prerank.config.prerank.teacher
        if Path(teacher).resolve() != Path(config.rank).resolve():
            print(f"The pre-ranker learned the order of {teacher}, and {config.rank} ranks: these may differ.")
        own = vectors_of(light.towers, load(file, schema=light.towers.schema))
        prerank = PrerankStage(light, vectors=own, kept=config.kept)
    ranker, schema = _served(runs.rank.model), runs.rank.schema
    if not ad_columns(schema):
        raise ValueError(f"{config.rank} reads no column of the ad side: it predicts the same for every ad.")
    rank = RankStage(
        ranker,
        catalogue=load(file, schema=schema),
        task=ranker.wiring.tasks[0] if config.task is None else config.task,
        answered=config.answered,
    )
    _note_unknown(ids, towers.item.name, schema)
    return Cascade(index=index, prerank=prerank, rank=rank), vectors


def _served(ranker: Ranker) -> Ranker:
    """The ranker as it is exported."""
    if ranker.wiring.auxiliary:
        ranker = ranker.without(tasks=ranker.wiring.auxiliary)
    fused: Ranker = ranker.merged(table_variables=1)
    fused.precompute()
    return fused


def _note_unknown(ids: npt.NDArray[Any], item: str, schema: Schema) -> None:
    """Says how many ads of the index the ranker knows by other columns than their id alone."""
    table = next((owner for owner in schema.tables if owner.name == item), None)
    if table is None or table.ids.kind != "vocabulary":
        return
    unknown = int((~np.isin(ids, read_vocabulary(schema=schema, feature=item))).sum())
    if unknown:
        print(
            f"{unknown:,} of {len(ids):,} ads are not in the ranker's vocabulary of {item!r}: it scores them by its "
            "row for unknown ids and by their other columns."
        )


def _records(config: CascadeConfig, cascade: Cascade, trained_on: str) -> Schema:
    """The schema of the records to evaluate on."""
    records = read_schema(config.data if config.data is not None else trained_on)
    for schema in cascade.schemas.values():
        check_same_columns(schema, records, columns=[column.name for column in schema.input_columns])
    with explained(records, splits=[config.split]):
        read_records(records, split=config.split, batch_size=1)
    return records


def _evaluated(
    config: CascadeConfig, cascade: Cascade, records: Schema, *, vectors: npt.NDArray[np.float32]
) -> dict[str, Any]:
    task = cascade.rank.task
    label = task if task in [each.name for each in records.labels] else None
    binary = label is not None and records.label(task).type == "binary"
    with explained(records, splits=[config.split]):
        batches = read_records(records, split=config.split, batch_size=min(config.queries, 1024))
        scores = WholeCatalogue(cascade, vectors=vectors).scores(batches, queries=config.queries, label=label)
    rows = cascade_metrics(scores, grid=config.grid(), answered=config.answered, task=task if binary else None)
    number = len(scores.own)
    print(
        f"{number:,} queries of the {config.split} split, {int(scores.positive.sum()):,} of them positive. top is the "
        f"share of the ranker's own first {config.answered} of all {cascade.index.ads:,} ads that reach it; recall and "
        f"answered are of the positives, ne, auc and bias of the rows whose ad reaches it:"
    )
    print(format_table(rows=rows, columns=_COLUMNS))
    return {"split": config.split, "queries": number, "positives": int(scores.positive.sum()), "grid": rows}


def _latency(replayed: Any) -> dict[str, Any]:
    return {
        "signature": replayed.signature,
        "rows": replayed.rows,
        "ms": replayed.seconds * 1e3,
        "difference": replayed.difference,
    }
