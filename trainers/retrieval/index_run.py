"""Writes an index: the vectors of a catalogue, and a SavedModel from queries to ads."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
import tensorflow as tf

from fullrank.analysis.comparisons.tables import format_table
from fullrank.data.files.write_aside import written_aside
from fullrank.models.retrieval.served_index import EXCLUSIONS, IDS, SCORES, VECTOR, ServedIndex
from fullrank.models.retrieval.two_tower import TwoTower
from fullrank.models.serving.check import check_export
from fullrank.models.serving.export import check_free
from fullrank.models.serving.input_guide import input_guide
from fullrank.models.serving.request_inputs import input_name
from fullrank.models.serving.sample_rows import drawn_rows
from fullrank.models.serving.saved_model import write_saved_model
from fullrank.models.serving.warmup import Request, write_warmup
from fullrank.trainers.retrieval.approximate import FILE as APPROXIMATE_FILE
from fullrank.trainers.retrieval.approximate import require_faiss, write_approximate
from fullrank.trainers.retrieval.build import load_towers
from fullrank.trainers.retrieval.catalogue import FILE, load_catalogue
from fullrank.trainers.retrieval.config import IndexConfig
from fullrank.trainers.retrieval.given_ads import read_ads

VECTORS_FILE: Final = "vectors.parquet"
_ADS: Final = 4096
_WARMUP_ROWS: Final = (1, 100)
_TOLERANCE: Final = 1e-5


def index_run(config: IndexConfig) -> Path:
    """Indexes the ads, and prints what was written.

    Below `output/<version>/` are the SavedModel with the signatures `serving_default`, `with_exclusions` and `vectors`,
    `assets.extra/vectors.parquet`, and with `--approximate` an index for faiss. It is replayed in a process without
    fullrank before it is put in place.

    Raises:
      ValueError: If there is no trained run, ads lack a column or are there twice, or there are fewer than K.
    """
    target = check_free(config.output, config.version)
    if config.approximate:
        require_faiss()
    loaded = load_towers(config.run)
    model = loaded.model
    if config.ads is not None:
        ads = read_ads(Path(config.ads), schema=loaded.schema)
    else:
        ads = load_catalogue(loaded.directory.path / FILE, schema=loaded.schema)
    ids, vectors = ads[model.item.name], vectors_of(model, ads)
    index = ServedIndex(model, ids=ids, vectors=vectors, at=config.at, most_exclusions=config.most_exclusions)
    requests, expected = _requests(index)
    with written_aside(target, overwrite=False, made_of="saved_model.pb") as aside:
        wanted = {input_name(column.name) for column in index.query_columns}
        write_saved_model(
            aside,
            model=index,
            signatures=index.signatures(),
            schema=model.schema,
            guide=[each for each in input_guide(model.schema) if each["input"] in wanted],
        )
        write_warmup(aside, requests)
        replayed = check_export(aside, expected=expected, tolerance=_TOLERANCE)
        extra = aside / "assets.extra"
        flat = pa.array(np.asarray(vectors, np.float32).ravel())
        columns = {"id": pa.array(ids.tolist()), "vector": pa.FixedSizeListArray.from_arrays(flat, vectors.shape[1])}
        pq.write_table(pa.table(columns), extra / VECTORS_FILE)
        if config.approximate:
            write_approximate(vectors, extra / APPROXIMATE_FILE)
        check_free(config.output, int(target.name))
    print(f"{target}: {config.at} of {len(ids):,} ads from {', '.join(c.name for c in index.query_columns)}")
    rows = [{**vars(each), "ms": each.seconds * 1e3} for each in replayed]
    print(format_table(rows=rows, columns=("signature", "rows", "ms", "difference")))
    return target


def vectors_of(model: TwoTower, ads: dict[str, npt.NDArray[Any]]) -> npt.NDArray[np.float32]:
    """Vectors of ads, `[N, D]`."""
    embed = tf.function(lambda batch: model.ad_vectors(batch, training=False), reduce_retracing=True)
    number = len(next(iter(ads.values())))
    tensors = {name: tf.constant(values.tolist() if values.dtype == object else values) for name, values in ads.items()}
    parts = [
        embed({name: values[start : start + _ADS] for name, values in tensors.items()}).numpy()
        for start in range(0, number, _ADS)
    ]
    return np.concatenate(parts) if parts else np.empty((0, model.options.vector_width), np.float32)


def _requests(index: ServedIndex) -> tuple[list[Request], list[tuple[str, dict[str, np.ndarray[Any, Any]]]]]:
    """Requests of each signature and size, and what the index itself answers."""
    requests: list[Request] = []
    expected: list[tuple[str, dict[str, np.ndarray[Any, Any]]]] = []
    for number in _WARMUP_ROWS:
        drawn = drawn_rows(index.model.schema, number=number)
        batch = {column.name: drawn[column.name] for column in index.query_columns}
        tensors = {name: tf.constant(v.tolist() if v.dtype == object else v) for name, v in batch.items()}
        inputs = {input_name(name): values for name, values in batch.items()}
        first = index.answer(tensors)
        exclusions = first[IDS][:, :2]
        answers: dict[str, dict[str, tf.Tensor]] = {
            "serving_default": first,
            "with_exclusions": index.answer(tensors, exclusions),
            "vectors": {VECTOR: index.model.query_vectors(tensors, training=False)},
        }
        for name, answer in answers.items():
            more = {EXCLUSIONS: exclusions.numpy()} if name == "with_exclusions" else {}
            requests.append((name, {**inputs, **more}))
            expected.append((name, {key: answer[key].numpy() for key in (IDS, SCORES, VECTOR) if key in answer}))
    return requests, expected
