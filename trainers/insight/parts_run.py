"""Measures the parts of a run's model, and reports those that are asleep."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
import tensorflow as tf

from fullrank.analysis.comparisons.tables import format_table
from fullrank.data.reading.read import read_records
from fullrank.data.schema.json import read_schema
from fullrank.models.pair_strengths import pair_strengths
from fullrank.models.part_measures import measure_parts
from fullrank.models.ranker import Ranker
from fullrank.trainers.insight.configs import PartsConfig
from fullrank.trainers.insight.stated_uncertainty import StatedUncertainty
from fullrank.trainers.run.run_directory import write_json
from fullrank.trainers.run.same_schema import check_same_columns
from fullrank.trainers.training.load_run import load_run
from fullrank.trainers.training.records import explained

EVEN: Final = 0.995
"""Attention whose entropy is this share of log n or more is a plain mean."""
SMALL: Final = 0.1
"""A part is asleep if its size is below this share of the others', or its effect below this share of an even one."""
SILENT: Final = 0.9
"""Share of units that never fire, above which an expert counts as dead."""

_SHOWN: Final = 5


def parts_run(config: PartsConfig) -> dict[str, Any]:
    """Reads batches, prints two tables and the parts that are asleep, and writes JSON if a file is named.

    Returns:
      `measures`, as `measure_parts` names them, means over the batches, `None` where undefined; `asleep`, a list of
      `part`, `why` and `do`; `pairs`, expert -> a list of `first`, `second` and `strength`, as `pair_strengths` returns
      them; and `uncertainty`, task -> the result of `StatedUncertainty`, empty without such a head.

    Raises:
      ValueError: If the records do not fit the run.
    """
    loaded = load_run(config.run)
    schema = read_schema(config.data if config.data is not None else loaded.config.data.data)
    needed = [column.name for column in loaded.schema.input_columns]
    if loaded.model.is_uncertain and loaded.schema.weight is not None:
        needed.append(loaded.schema.weight)
    check_same_columns(loaded.schema, schema, columns=needed)
    look = tf.function(lambda batch: measure_parts(loaded.model, batch))
    stated = StatedUncertainty(loaded.model) if loaded.model.is_uncertain else None
    with explained(schema, splits=[config.split]):
        batches = read_records(schema, split=config.split, batch_size=config.batch_size).take(config.batches)
        seen = []
        for batch in batches:
            seen.append({name: float(value) for name, value in look(batch).items()})
            if stated is not None:
                stated.add(batch)
    if not seen:
        raise ValueError(f"The split {config.split!r} of {schema.directory} is empty.")
    measures = {name: _mean([each[name] for each in seen]) for name in seen[0]}
    content = {
        "measures": measures,
        "asleep": list(asleep(measures)),
        "pairs": _pairs(loaded.model),
        "uncertainty": stated.result() if stated is not None else {},
    }
    print(_summary(content))
    if config.json is not None:
        write_json(content, Path(config.json))
    return content


def _pairs(model: Ranker) -> dict[str, list[dict[str, Any]]]:
    names = model.trunk.field_names
    return {
        expert: [
            {"first": names[i], "second": names[j], "strength": float(strengths[i, j])}
            for i, j in itertools.combinations(range(len(names)), 2)
        ]
        for expert, strengths in pair_strengths(model).items()
    }


def _mean(values: list[float]) -> float | None:
    known = [value for value in values if math.isfinite(value)]
    return float(np.mean(known)) if known else None


def asleep(measures: Mapping[str, float | None]) -> Iterator[dict[str, str]]:
    """The parts with almost no effect, each with the reason and what to do about it.

    Args:
      measures: As `measure_parts` names them; `None` where undefined.
    """
    known = {name: value for name, value in measures.items() if value is not None}
    shares = {name: value for name, value in known.items() if name.startswith("share/")}
    for name, spread in _of(known, "attention"):
        if spread >= EVEN:
            yield _finding(
                name,
                f"its attention is a plain mean (entropy {spread:.4f} of the largest)",
                f"--sequence_scale={_size(known, name.split('/')[0]):.2g}, the size of its set's fields, or a higher "
                "--table_learning_rate; if it stays so, --sequence=mean is as good and cheaper.",
            )
    for name, size in _of(known, "rms"):
        set_name, _, part = name.partition("/")
        if part.startswith("fields/"):
            continue
        fields = _size(known, set_name)
        if size < SMALL * fields:
            yield _finding(
                name,
                f"its output is {size:.3g}, that of the other fields {fields:.3g}",
                "a lower --sequence_scale, for a sequence; more steps or a higher --table_learning_rate.",
            )
        elif len(shares) * shares.get(f"share/{name}", math.inf) < SMALL:
            yield _finding(
                name,
                f"its share of predictions is {shares[f'share/{name}']:.2%}, an even one {1 / len(shares):.2%}",
                "check whether it holds anything that the other features do not; if not, leave it out with "
                "--without_features.",
            )
    for name, silent in _of(known, "silent"):
        if silent >= SILENT:
            yield _finding(name, f"{silent:.0%} of its units never fire", "a lower --learning_rate, or --warmup_steps.")
    yield from _unread(known)


def _unread(known: Mapping[str, float]) -> Iterator[dict[str, str]]:
    """Experts that every gate leaves out."""
    weights: dict[str, list[float]] = {}
    several: dict[str, int] = {}
    for name, weight in _of(known, "gate"):
        tower, _, expert = name.partition("/")
        if expert:
            weights.setdefault(expert, []).append(weight)
            several[tower] = several.get(tower, 0) + 1
    for expert, read in weights.items():
        even = 1 / max(several.values())
        if max(read) < SMALL * even:
            yield _finding(
                expert, f"no gate gives it more than {max(read):.2%}", "another interaction in --experts, or none."
            )


def _of(known: Mapping[str, float], kind: str) -> Iterator[tuple[str, float]]:
    for name, value in known.items():
        if name.startswith(f"{kind}/"):
            yield name.removeprefix(f"{kind}/"), value


def _size(known: Mapping[str, float], set_name: str) -> float:
    """Root mean square over all fields of a set."""
    sizes = [value for name, value in _of(known, "rms") if name.startswith(f"{set_name}/fields/")]
    return float(np.sqrt(np.mean(np.square(sizes))))


def _finding(part: str, why: str, do: str) -> dict[str, str]:
    return {"part": part, "why": why, "do": do}


def _summary(content: Mapping[str, Any]) -> str:
    measures = content["measures"]
    parts = [
        {"part": name, "size": measures[f"rms/{name}"], "share": share, "attention": measures.get(f"attention/{name}")}
        for name, share in sorted(_of(measures, "share"), key=lambda pair: -(pair[1] or 0.0))
    ]
    experts = [
        {"expert": name, "size": size, "silent": measures[f"silent/{name}"]} for name, size in _of(measures, "expert")
    ]
    gates: dict[str, dict[str, Any]] = {}
    for name, value in _of(measures, "gate"):
        tower, _, expert = name.partition("/")
        gates.setdefault(tower, {"tower": tower})[expert or "evenness"] = value
    columns = [
        "tower",
        "evenness",
        *dict.fromkeys(e for row in gates.values() for e in row if e not in ("tower", "evenness")),
    ]
    lines = [
        "What the experts read: size of an entry (rms), share of the prediction, entropy of the attention over its "
        "maximum:",
        format_table(rows=parts, columns=("part", "size", "share", "attention")),
        "\nExperts: size of their outputs, share of units that never fire:",
        format_table(rows=experts, columns=("expert", "size", "silent")),
        "\nGates: entropy of their weights over its maximum (evenness), and mean weight of each expert:",
        format_table(rows=list(gates.values()), columns=columns),
    ]
    for expert, pairs in content["pairs"].items():
        most = sorted(pairs, key=lambda pair: -pair["strength"])[:_SHOWN]
        shown = ", ".join(f"{pair['first']} x {pair['second']} {pair['strength']:.3g}" for pair in most)
        lines.append(f"\nStrongest pairs of {expert} (1 at the start): {shown}.")
    found = content["asleep"]
    lines.append(f"\nAsleep: {len(found)}" if found else "\nNothing is asleep.")
    lines += [f"  {each['part']}: {each['why']}. Try {each['do']}" for each in found]
    return "\n".join(lines)
