"""Evaluates a retrieval run on a split, over its whole catalogue and the ads that came since."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from fullrank.analysis.comparisons.tables import format_table
from fullrank.data.reading.read import read_records
from fullrank.data.schema.json import read_schema
from fullrank.data.schema.value_rules import without_features
from fullrank.trainers.retrieval.build import build_towers, load_towers
from fullrank.trainers.retrieval.catalogue import FILE, Catalogue, load_catalogue, read_catalogue
from fullrank.trainers.retrieval.config import RecallConfig
from fullrank.trainers.retrieval.evaluate import CatalogueRanking, retrieval_metrics
from fullrank.trainers.run.run_directory import write_json
from fullrank.trainers.run.same_schema import check_same_columns
from fullrank.trainers.run.weights import restore_best
from fullrank.trainers.training.records import explained


def recall_run(config: RecallConfig) -> dict[str, Any]:
    """Ranks the positives, prints a table, and writes JSON if a file is named.

    The catalogue is that of the run, and the ads that the split has beside it, as the last example of each shows it: an
    ad without an id in training is ranked by its other columns.

    Raises:
      ValueError: If the records do not fit the run, or no example is a positive.
    """
    loaded = load_towers(config.run)
    schema = read_schema(config.data if config.data is not None else loaded.config.data.data)
    check_same_columns(loaded.schema, schema, columns=[column.name for column in loaded.schema.input_columns])
    schema = without_features(schema, loaded.config.retrieval.without_features)
    own = load_catalogue(loaded.directory.path / FILE, schema=loaded.schema)
    split = read_catalogue(schema, item=loaded.model.item.name, splits=[config.split], batch_size=config.batch_size)
    catalogue = _with_new(own, split, item=loaded.model.item.name)
    new = len(catalogue[loaded.model.item.name]) - len(own[loaded.model.item.name])
    model = build_towers(loaded.config.retrieval, loaded.schema, catalogue=catalogue, seed=0) if new else loaded.model
    popularity = np.concatenate([loaded.model.counts.popularity.numpy(), np.zeros(new, np.float32)])
    if new:
        # Counts are per ad of the run, and are no part of a vector.
        model.counts = loaded.model.counts
        restore_best(model, loaded.directory.best)
    with explained(schema, splits=[config.split]):
        batches = read_records(schema, split=config.split, batch_size=config.batch_size)
        found = CatalogueRanking(model, at=config.at, exclude_history=config.exclude_history).rank(batches)
    if not len(found.ranks):
        raise ValueError(
            f"No example of split {config.split!r} is a positive by {', '.join(model.positives)}: nothing to evaluate."
        )
    content = {
        "split": config.split,
        "ads": model.ads,
        "ads_since_training": new,
        "exclude_history": config.exclude_history,
        **retrieval_metrics(found, at=config.at, popularity=popularity),
    }
    print(_summary(content, config))
    if config.json is not None:
        write_json(content, Path(config.json))
    return content


def _with_new(own: Catalogue, other: Catalogue, *, item: str) -> Catalogue:
    """The catalogue, then the ads of another one that it lacks."""
    new = ~np.isin(other[item], own[item])
    return {name: np.concatenate([values, other[name][new]]) for name, values in own.items()}


def _summary(content: dict[str, Any], config: RecallConfig) -> str:
    names = [*(f"{name}@{k}" for k in config.at for name in ("recall", "ndcg")), "mrr"]
    rows = [{"segment": "all", "queries": content["queries"], **{name: content[name] for name in names}}]
    for segment, values in content["segments"].items():
        rows += [{"segment": f"{segment}={value}", **each} for value, each in values.items()]
    since = f", {content['ads_since_training']:,} of them since training" if content["ads_since_training"] else ""
    lines = [
        f"Positives of the {config.split} split, each ranked among {content['ads']:,} ads{since}.",
        format_table(rows=rows, columns=("segment", "queries", *names)),
    ]
    lines += [
        f"The first {k} of all queries hold {content[f'coverage@{k}']:.1%} of the catalogue; what is shown is by "
        f"{content[f'popularity_bias@{k}']:+.3f} in percentile of popularity more popular than the positives."
        for k in config.at
    ]
    return "\n".join(lines)
