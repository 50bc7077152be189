"""The approximate index against all inner products."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from fullrank.trainers.retrieval.approximate import FILE, ApproximateIndex, require_faiss, write_approximate


def test_it_finds_nearly_all_of_the_highest_products(tmp_path: Path) -> None:
    draw = np.random.default_rng(1)
    ads = draw.normal(size=(3_000, 8)).astype(np.float32)
    queries = draw.normal(size=(50, 8)).astype(np.float32)
    write_approximate(ads, tmp_path / FILE)
    scores, places = ApproximateIndex(tmp_path / FILE).search(queries, at=20)
    exact = queries @ ads.T
    best = np.argsort(-exact, axis=1)[:, :20]
    shares = [len(set(found) & set(wanted)) / 20 for found, wanted in zip(places.tolist(), best.tolist(), strict=True)]
    assert np.mean(shares) > 0.95
    np.testing.assert_allclose(scores, np.take_along_axis(exact, places, axis=1), rtol=1e-5, atol=1e-5)
    assert (np.diff(scores, axis=1) <= 0).all()


def test_fewer_ads_than_are_asked_for(tmp_path: Path) -> None:
    write_approximate(np.eye(3, dtype=np.float32), tmp_path / FILE)
    _, places = ApproximateIndex(tmp_path / FILE).search(np.array([[0.1, 0.3, 0.2]], np.float32), at=5)
    assert places.tolist() == [[1, 2, 0, -1, -1]]


def test_without_faiss_it_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "faiss", None)
    with pytest.raises(ValueError, match=r"--approximate needs faiss: pip install 'fullrank\[ann\]'"):
        require_faiss()
