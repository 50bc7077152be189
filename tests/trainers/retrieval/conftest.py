"""Records with histories, and a run of each stage on them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from fullrank.data import BehaviourColumn, IdMap, Key, Label, Ragged, Schema, Sequence, Sparse, write_records
from fullrank.trainers import prerank, retrieve, train

ADS = 30
_SMALL = (
    "--batch_size=128", "--epochs=1", "--hidden=8", "--notensorboard", "--progress=none",
    "--validation_split=", "--learning_rate=0.01", "--table_learning_rate=0.2",
)  # fmt: skip


@pytest.fixture(scope="session")
def shop_records(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Users with a history and ads with a topic; the last two ads are not in the vocabulary."""
    schema = Schema(
        name="shop",
        features=(
            Sparse(name="user", ids=IdMap(kind="identity", size=40), side="user"),
            Sparse(name="ad", ids=IdMap(kind="vocabulary", size=ADS - 2), side="ad"),
            Sparse(name="topic", dtype="bytes", ids=IdMap(kind="hash", size=8), side="ad"),
            Sequence(name="history", behaviour=(BehaviourColumn(name="past", table="ad", target="ad"),), max_length=4),
        ),
        labels=(Label(name="click", mean=0.5), Label(name="buy", mean=0.3)),
        keys=(Key(name="user"),),
    )
    draw = np.random.default_rng(3)
    topics = np.array([b"a", b"b", b"c"], object)

    def rows(size: int) -> dict[str, np.ndarray | Ragged]:
        ad, lengths = draw.integers(0, ADS, size), draw.integers(0, 5, size).astype(np.int32)
        user = draw.integers(0, 40, size)
        return {
            "user": user,
            "ad": 100 + ad,
            "topic": topics[ad % 3],
            "past": Ragged(100 + draw.integers(0, ADS - 2, lengths.sum()), lengths),
            "click": (draw.random(size) < 1 / (1 + np.exp(-2.0 * np.sin(user + ad)))).astype(np.float32),
            "buy": (draw.random(size) < 0.3).astype(np.float32),
        }

    directory = tmp_path_factory.mktemp("shop") / "records"
    splits = {"train": rows(600), "test": rows(120)}
    known = np.arange(100, 100 + ADS - 2)
    write_records(directory, schema=schema, splits=splits, vocabularies={"ad": known}, shards=1, block_rows=100)
    return directory


@pytest.fixture(scope="session")
def shop_towers(shop_records: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of `fullrank retrieve` with two interests."""
    output = tmp_path_factory.mktemp("shop") / "towers"
    retrieve.run([
        "retrieve", f"--data={shop_records}", f"--output={output}", "--vector_width=6", "--widths=4", "--interests=2",
        "--sequence=tim", *_SMALL,
    ])  # fmt: skip
    return output


@pytest.fixture(scope="session")
def shop_ranker(shop_records: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of `fullrank train` whose logits have a distribution."""
    output = tmp_path_factory.mktemp("shop") / "ranker"
    train.run([
        "train", f"--data={shop_records}", f"--output={output}", "--tasks=click,buy", "--head=laplace",
        "--expert_width=8", "--widths=4,4", "--tower=8", *_SMALL,
    ])  # fmt: skip
    return output


@pytest.fixture(scope="session")
def shop_light(shop_records: Path, shop_ranker: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of `fullrank prerank` that learned from the ranker."""
    output = tmp_path_factory.mktemp("shop") / "light"
    prerank.run([
        "prerank", f"--data={shop_records}", f"--teacher={shop_ranker}", f"--output={output}", "--vector_width=5",
        "--widths=4", "--candidates=10", "--queries=32", "--top=3", "--kept=5", "--meeting=4", *_SMALL,
    ])  # fmt: skip
    return output
