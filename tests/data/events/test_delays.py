"""Simulated delays: their laws, bursts, determinism, and the stream that the command writes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats

from fullrank.data import delays
from fullrank.data.events.delay_laws import Bursts, Empirical, Exponential, LogNormal, delay_law, report_times
from fullrank.data.events.event_columns import Events
from fullrank.data.events.event_directory import EventDirectory
from fullrank.data.schema.json import read_schema

N = 4000


def _times(**changes: Any) -> np.ndarray:
    given: dict[str, Any] = {
        "clicks": np.arange(N) * 10.0,
        "advertisers": np.arange(N) % 20,
        "law": Exponential(median=3600.0),
    }
    return report_times(**{**given, "seed": 3, **changes})


@pytest.mark.parametrize(
    ("law", "reference"),
    [
        (Exponential(median=3600.0), stats.expon(scale=3600.0 / np.log(2.0))),
        (LogNormal(median=3600.0, sigma=0.5), stats.lognorm(s=0.5, scale=3600.0)),
    ],
)
def test_delays_follow_their_law(law: Exponential | LogNormal, reference: stats.rv_continuous) -> None:
    delays_ = _times(law=law) - np.arange(N) * 10.0
    assert stats.kstest(delays_, reference.cdf).pvalue > 0.01
    assert np.median(delays_) == pytest.approx(3600.0, rel=0.1)


def test_empirical_delays_are_read_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "delays.txt"
    file.write_text("5\n60.5\n")
    found = _times(law=Empirical.read(file)) - np.arange(N) * 10.0
    assert set(np.round(found, 3)) == {5.0, 60.5}
    for wrong, message in (("5\nx\n", "line 2"), ("-1\n", "line 1"), ("", "no delays")):
        file.write_text(wrong)
        with pytest.raises(ValueError, match=message):
            Empirical.read(file)
    with pytest.raises(ValueError, match="needs --delays"):
        delay_law("empirical", median=1.0, sigma=1.0, file=None)


def test_the_same_seed_gives_the_same_reports() -> None:
    bursts = Bursts(share=0.5, gap=7200.0)
    np.testing.assert_array_equal(_times(bursts=bursts, spread=1.0), _times(bursts=bursts, spread=1.0))
    assert (_times(seed=4) != _times()).all()


def test_bulk_reports_come_together_and_never_early() -> None:
    single, bulk = _times(), _times(bursts=Bursts(share=0.5, gap=7200.0))
    late = bulk > single
    assert (bulk >= single).all()
    in_bulk = np.unique(np.arange(N)[late] % 20)
    assert 4 <= len(in_bulk) <= 16
    for advertiser in range(20):
        own = bulk[np.arange(N) % 20 == advertiser]
        assert (len(np.unique(own)) < len(own) / 4) == (advertiser in in_bulk)
    np.testing.assert_array_equal(single, _times(bursts=Bursts(share=0.0, gap=7200.0)))


def test_advertisers_differ_by_the_spread() -> None:
    found = _times(spread=1.0) - np.arange(N) * 10.0
    medians = [np.median(found[np.arange(N) % 20 == advertiser]) for advertiser in range(20)]
    assert np.std(np.log(medians)) == pytest.approx(1.0, abs=0.4)


def test_the_command_writes_a_stream(make_records: Callable[..., Path], tmp_path: Path) -> None:
    records = make_records(tmp_path / "records")
    arguments = ["delays", f"--input={records}", "--label=click", "--advertiser=item", "--burst_share=0.5"]
    for output in ("a", "b"):
        delays.run([*arguments, f"--output={tmp_path / output}", "--seed=5"])
    files = [(tmp_path / output / "events-00000000.tfrecord").read_bytes() for output in ("a", "b")]
    assert files[0] == files[1]
    source = EventDirectory(tmp_path / "a", schema=read_schema(tmp_path / "a"))
    parts = []
    while (part := source.read()) is not None:
        parts.append(part)
    assert source.ended
    columns = {name: np.concatenate([part.columns[name] for part in parts]) for name in ("item", "tags", "click")}
    ids, kinds, times, named = (np.concatenate(each) for each in list(zip(*parts, strict=True))[:4])
    events = Events(ids, kinds, times, named, columns)
    assert (np.diff(events.times) >= 0).all()
    clicks = events.kinds == 1
    assert clicks.sum() == 1200
    converted = set(events.ids[clicks & (events.columns["click"] > 0.5)].tolist())
    assert converted == set(events.clicks[events.kinds == 2].tolist())
    of_click = dict(zip(events.ids.tolist(), events.times.tolist(), strict=True))
    assert all(of_click[c] <= t for c, t in zip(events.clicks[~clicks], events.times[~clicks], strict=True))
    assert (events.columns["item"][~clicks] == b"").all()
    assert set(events.columns["tags"].shape) == {len(events.ids), 3}
    with pytest.raises(SystemExit):
        delays.run([*arguments, f"--output={tmp_path / 'a'}"])
    with pytest.raises(SystemExit):
        delays.run([*arguments[:2], "--label=click", "--advertiser=nobody", f"--output={tmp_path / 'c'}"])


def test_the_label_can_be_hidden(make_records: Callable[..., Path], tmp_path: Path) -> None:
    records = make_records(tmp_path / "records")
    delays.run(["delays", f"--input={records}", "--label=click", f"--output={tmp_path / 'a'}", "--hide_label"])
    events = EventDirectory(tmp_path / "a", schema=read_schema(tmp_path / "a")).read()
    assert events is not None
    assert np.isnan(events.columns["click"]).all()
    assert (events.kinds == 2).any()
