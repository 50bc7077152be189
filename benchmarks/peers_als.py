"""Retrieval by popularity and by implicit matrix factorisation, on the records and the catalogue of `fullrank recall`.

Each positive of a split is ranked among the ads of the training and validation splits and those that the split adds;
ads of the history of its query, other than itself, cannot be ranked, as with `fullrank recall --exclude_history`.

* Popularity: positives of an ad in the training split.
* ALS of implicit 0.7.3 (Hu, Koren and Volinsky 2008): factors of the ads from the positives of the training split; the
  factor of a query is solved for from the ads of its history, `--history`, so that users who are new have one, too. A
  query without a history gets popularity. The best of a grid of settings by recall@100 on the validation split.

implicit is not among the library's requirements:

    pip install implicit==0.7.3
    python benchmarks/peers_als.py --data=records --history=clicks_item --json=als.json
"""

from __future__ import annotations

import argparse
import importlib
import itertools
import json
import os
from pathlib import Path
from typing import Any, Final

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np
import numpy.typing as npt
import scipy.sparse

from fullrank.analysis.comparisons.tables import format_table
from fullrank.data import read_records, read_schema
from fullrank.data.files.write_aside import write_text
from fullrank.models.retrieval.positives import positive_labels, positive_weights
from fullrank.models.retrieval.sides import item_feature
from fullrank.trainers.retrieval.catalogue import read_catalogue
from fullrank.trainers.retrieval.evaluate import history_columns
from fullrank.trainers.retrieval.rank_metrics import rank_metrics

AT: Final = (10, 100)
FACTORS, REGULARISATION, ALPHA = (8, 16, 32, 64), (0.1, 1.0, 10.0, 30.0, 100.0), (1.0, 5.0, 20.0)
Floats = npt.NDArray[np.float32]


class Split:
    """The positives of a split.

    Args:
      data: Directory of the records.
      name: The split.
      ads: Ids of the catalogue.
      history: Column of the behaviours that count as positives.
    """

    def __init__(self, data: str, name: str, *, ads: npt.NDArray[Any], history: str) -> None:
        schema = read_schema(data)
        item, labels = item_feature(schema, None).name, positive_labels((), schema)
        seen, user = history_columns(schema, item), schema.keys[0].name
        rows = []
        for batch in read_records(schema, split=name, batch_size=4096):
            chosen = positive_weights(batch, labels, weight=schema.weight).numpy() > 0.0
            columns = (item, user, history, *seen)
            rows.append(tuple(batch[column].numpy()[chosen] for column in columns))
        own, self.users, past, *others = (np.concatenate(part) for part in zip(*rows, strict=True))
        self.own = _places(own, ads)
        self.past, self.seen = _places(past, ads), _places(np.concatenate(others, axis=1), ads)
        self.ads = len(ads)

    def ranks(self, scores: Floats) -> npt.NDArray[np.float64]:
        """Ranks of the positives by scores `[Q, N]`; those that equal others have the mean of their ranks."""
        scores = np.pad(scores, [(0, 0), (0, 1)], constant_values=-np.inf)
        rows = np.arange(len(scores))
        own = scores[rows, self.own].copy()
        np.put_along_axis(scores, self.seen, -np.inf, axis=1)
        scores[rows, self.own] = own
        ranked = 1.0 + (scores > own[:, np.newaxis]).sum(axis=1)
        equal: npt.NDArray[np.float64] = ranked + 0.5 * ((scores == own[:, np.newaxis]).sum(axis=1) - 1)
        return equal

    def histories(self) -> scipy.sparse.csr_matrix:
        """The positives of each query's history, `[Q, N]`."""
        rows, columns = np.nonzero(self.past < self.ads)
        cells = (np.ones(len(rows), np.float32), (rows, self.past[rows, columns]))
        found = scipy.sparse.csr_matrix(cells, shape=(len(self.past), self.ads))
        found.data[:] = 1.0
        return found


def _places(ids: npt.NDArray[Any], ads: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
    places = np.minimum(np.searchsorted(ads, ids), len(ads) - 1)
    return np.where(ads[places] == ids, places, len(ads))


def als_scores(train: Split, split: Split, *, factors: int, regularisation: float, alpha: float, seed: int) -> Floats:
    """Scores of all ads for each query of a split, `[Q, N]`."""
    users, rows = np.unique(train.users, return_inverse=True)
    known = train.own < train.ads
    cells = (np.ones(known.sum(), np.float32), (rows[known], train.own[known]))
    positives = scipy.sparse.csr_matrix(cells, shape=(len(users), train.ads))
    positives.data[:] = 1.0
    model = importlib.import_module("implicit.cpu.als").AlternatingLeastSquares(
        factors=factors, regularization=regularisation, alpha=alpha, iterations=20, random_state=seed, num_threads=1
    )
    model.fit(positives, show_progress=False)
    histories = split.histories()
    queries = model.recalculate_user(np.arange(histories.shape[0]), histories)
    scores: Floats = queries @ model.item_factors.T
    empty = np.diff(histories.indptr) == 0
    scores[empty] = popularity(train)
    return scores


def popularity(train: Split) -> Floats:
    """Positives of each ad, `[N]`."""
    counts: Floats = np.bincount(train.own, minlength=train.ads + 1)[: train.ads].astype(np.float32)
    return counts


def metrics(split: Split, ranks: npt.NDArray[np.float64]) -> dict[str, Any]:
    """The metrics of all queries, and of those with and without a history of any kind."""
    some = (split.seen < split.ads).any(axis=1)
    parts = {"all": np.ones(len(ranks), bool), "history=some": some, "history=none": ~some}
    return {name: {"queries": int(rows.sum()), **rank_metrics(ranks[rows], at=AT)} for name, rows in parts.items()}


def main() -> None:
    """Chooses the settings of ALS on the validation split, and reports on the test split."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", required=True, help="directory of records")
    parser.add_argument("--history", required=True, help="column of the behaviours that are positives")
    parser.add_argument("--seeds", type=int, default=5, help="seeds of ALS on the test split")
    parser.add_argument("--json", metavar="FILE", help="also write the metrics to FILE")
    options = parser.parse_args()
    schema = read_schema(options.data)
    item = item_feature(schema, None).name
    ads = read_catalogue(schema, item=None, splits=["train", "validation", "test"])[item]
    train, validation, test = (
        Split(options.data, name, ads=ads, history=options.history) for name in ("train", "validation", "test")
    )
    best: tuple[float, dict[str, Any]] = (-1.0, {})
    for factors, regularisation, alpha in itertools.product(FACTORS, REGULARISATION, ALPHA):
        settings: dict[str, Any] = {"factors": factors, "regularisation": regularisation, "alpha": alpha}
        found = rank_metrics(validation.ranks(als_scores(train, validation, **settings, seed=0)), at=AT)["recall@100"]
        print(f"{settings}: recall@100 {found:.4f} on the validation split", flush=True)
        best = max(best, (found or 0.0, settings), key=lambda each: each[0])
    of_popularity = np.tile(popularity(train), (len(test.own), 1))
    content: dict[str, Any] = {
        "popularity": metrics(test, test.ranks(of_popularity)),
        "validation": {
            "popularity": metrics(validation, validation.ranks(np.tile(popularity(train), (len(validation.own), 1)))),
            "als": best[0],
        },
        "settings": best[1],
        "als": [
            metrics(test, test.ranks(als_scores(train, test, **best[1], seed=seed))) for seed in range(options.seeds)
        ],
    }
    rows = [
        {"model": name, "segment": segment, **values}
        for name, found in (("popularity", content["popularity"]), ("als, first seed", content["als"][0]))
        for segment, values in found.items()
    ]
    print(f"The best settings are {best[1]}.")
    print(format_table(rows=rows, columns=("model", "segment", "queries", *rank_metrics(np.ones(1), at=AT))))
    if options.json:
        write_text(Path(options.json), json.dumps(content, indent=1) + "\n")


if __name__ == "__main__":
    main()
