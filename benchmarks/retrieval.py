"""Retrieval: the time of a query in an index of a million ads, and training against a hand-written two-tower.

Search: one query at a time for the 100 highest products in 1,000,000 vectors of width 64, by all products (`BruteForce`
of TensorFlow Recommenders, what `fullrank index` exports), by a pass over batches of 65,536 (`Streaming`), and by the
graph that `fullrank index --approximate` writes, for faiss. The vectors spread along 16 directions with a little noise
in all 64, as those of trained towers do; in 64 even directions no graph finds much. Recall@100 is the share of the
exact answer that a search gives. Left out where faiss is not installed: pip install 'fullrank[ann]'.

Training: both sides learn from the same batches of 1,024 positives in memory, a user, an ad, and a history of 20 ads
from the same table as the ad, with tables of 200,000 and 100,000 rows of width 64 and one hidden layer of 64, by a
softmax over the batch. The reference is written by hand on `tfrs.tasks.Retrieval` with Keras's layers and Adagrad; ours
has the correction for popularity, the mask of other positives and row-wise Adagrad, as `fullrank retrieve` does by
default.
"""

from __future__ import annotations

import importlib.util
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import numpy as np
import numpy.typing as npt
import tensorflow as tf
import tf_keras as keras

import report
from fullrank.data import BehaviourColumn, IdMap, Key, Label, Schema, Sequence, Sparse
from fullrank.layers.legacy_keras import tfrs
from fullrank.models.options.retrieval import RetrievalOptions
from fullrank.models.retrieval.two_tower import TwoTower
from fullrank.trainers.config.optimizer import OptimizerConfig
from fullrank.trainers.retrieval.approximate import FILE, ApproximateIndex, write_approximate
from fullrank.trainers.training.build_model import compile_model

WIDTH, AT = 64, 100
DIRECTIONS = 16
BATCH, HISTORY = 1024, 20
USERS, ADS = 200_000, 100_000
Floats = npt.NDArray[np.float32]
Search = Callable[[Floats], npt.NDArray[Any]]


def spread(number: int, seed: int) -> Floats:
    """Vectors of length 1, `[number, 64]`."""
    along = np.random.default_rng(0).normal(size=(DIRECTIONS, WIDTH))
    draw = np.random.default_rng(seed)
    vectors = draw.normal(size=(number, DIRECTIONS)) @ along + draw.normal(size=(number, WIDTH))
    unit: Floats = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    return unit


def searches(vectors: Floats, directory: Path) -> dict[str, Search]:
    """The ways to search, each from a query `[1, 64]` to places `[1, 100]`."""
    tensor = tf.constant(vectors)
    brute = tfrs.layers.factorized_top_k.BruteForce(k=AT)
    brute.index(tensor)
    streaming = tfrs.layers.factorized_top_k.Streaming(k=AT)
    streaming.index_from_dataset(tf.data.Dataset.from_tensor_slices(tensor).batch(65_536))
    found: dict[str, Search] = {
        name: _traced(layer) for name, layer in (("all products", brute), ("streaming", streaming))
    }
    if importlib.util.find_spec("faiss") is not None:
        write_approximate(vectors, directory / FILE)
        graph = ApproximateIndex(directory / FILE)
        found["approximate"] = lambda query: graph.search(query, at=AT)[1]
    return found


def _traced(layer: keras.layers.Layer) -> Search:
    run = tf.function(lambda query: layer(query)[1], input_signature=[tf.TensorSpec([1, WIDTH])])
    return lambda query: run(tf.constant(query)).numpy()


def search_rows(ads: int, queries: int) -> list[report.Row]:
    """Latency and recall of each search, and latency over that of all products."""
    vectors, asked = spread(ads, 1), spread(queries, 2)
    with tempfile.TemporaryDirectory() as directory:
        ways = searches(vectors, Path(directory))
        seconds: dict[str, list[float]] = {name: [] for name in ways}
        places: dict[str, list[npt.NDArray[Any]]] = {name: [] for name in ways}
        for search in ways.values():
            search(asked[:1])
        for row in range(queries):
            for name, search in ways.items():
                start = time.perf_counter()
                answer = search(asked[row : row + 1])
                seconds[name].append(time.perf_counter() - start)
                places[name].append(answer[0])
    exact = places["all products"]
    rows = []
    for name in ways:
        for quantile in (50, 99):
            own, of_all = (
                report.Sample((float(np.percentile(seconds[each], quantile)) * 1e3,)) for each in (name, "all products")
            )
            label = f"query in {ads:,} ads, {name}, p{quantile}"
            reference = None if name == "all products" else of_all
            rows.append(report.compare(name=label, ours=own, reference=reference, unit="ms"))
        shares = [len(np.intersect1d(a, b)) / AT for a, b in zip(places[name], exact, strict=True)]
        rows.append(
            report.compare(
                name=f"recall@{AT}, {name}", ours=report.Sample((float(np.mean(shares)),)), reference=None, unit=""
            )
        )
    return rows


SCHEMA = Schema(
    name="clicks",
    features=(
        Sparse(name="user", side="user", ids=IdMap(kind="identity", size=USERS)),
        Sparse(name="ad", side="ad", ids=IdMap(kind="identity", size=ADS)),
        Sequence(
            name="history", behaviour=(BehaviourColumn(name="past", table="ad", target="ad"),), max_length=HISTORY
        ),
    ),
    labels=(Label(name="click"),),
    keys=(Key(name="user"),),
)


class ByHand(tfrs.Model):
    """What one writes with TensorFlow Recommenders: user and mean history against the ad."""

    def __init__(self) -> None:
        super().__init__()
        self.users, self.ads = keras.layers.Embedding(USERS, WIDTH), keras.layers.Embedding(ADS, WIDTH)
        self.towers = [
            keras.Sequential([keras.layers.Dense(WIDTH, "relu"), keras.layers.Dense(WIDTH)]) for _ in range(2)
        ]
        self.task = tfrs.tasks.Retrieval(temperature=0.1)

    def compute_loss(self, inputs: dict[str, tf.Tensor], training: bool = False) -> tf.Tensor:
        """The softmax over the ads of the batch."""
        read = tf.concat([self.users(inputs["user"]), tf.reduce_mean(self.ads(inputs["past"]), axis=1)], axis=1)
        queries, ads = self.towers[0](read), self.towers[1](self.ads(inputs["ad"]))
        return self.task(
            tf.math.l2_normalize(queries, axis=1), tf.math.l2_normalize(ads, axis=1), compute_metrics=False
        )


def batches(steps: int) -> tf.data.Dataset:
    """Positives in memory; ads are drawn by a power law."""
    draw = np.random.default_rng(3)
    size = steps * BATCH
    columns = {
        "user": draw.integers(0, USERS, size),
        "ad": (ADS * draw.random(size) ** 3).astype(np.int64),
        "past": (ADS * draw.random((size, HISTORY)) ** 3).astype(np.int64),
        "click": np.ones(size, np.float32),
    }
    return tf.data.Dataset.from_tensor_slices(columns).batch(BATCH, drop_remainder=True).cache().prefetch(2)


def training_rows(steps: int, rounds: int) -> list[report.Row]:
    """Examples a second of both sides."""
    options = RetrievalOptions(widths=(WIDTH,), hidden=(WIDTH,), vector_width=WIDTH, dropout=0.0)
    ours = TwoTower(SCHEMA, options, catalogue={"ad": np.arange(ADS)}, vocabularies={})
    compile_model(ours, OptimizerConfig(), total_steps=steps)
    reference = ByHand()
    reference.compile(optimizer=keras.optimizers.Adagrad(0.05, jit_compile=False))
    data = batches(steps)
    timing = report.alternate(
        lambda: ours.fit(data, verbose=0), lambda: reference.fit(data, verbose=0), rounds=rounds, warmup=1
    )
    size = steps * BATCH
    return [
        report.compare(
            name="training / a two-tower by hand",
            ours=timing.ours.rate(size),
            reference=timing.reference.rate(size),
            ratio=1 / timing.median_of_ratios,
            goal=">= 0.5",
            unit="examples/s",
        )
    ]


def main() -> None:
    """Measures and reports."""
    options = report.arguments(__doc__.splitlines()[0])
    ads, queries = (2_000, 5) if options.quick else (1_000_000, 300)
    rows = search_rows(ads, queries)
    rows += training_rows(steps=2 if options.quick else 60, rounds=1 if options.quick else 7)
    report.emit(rows, options.json)


if __name__ == "__main__":
    main()
