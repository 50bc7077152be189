"""Sections made from the files of a run: training, tables, tasks, features, groups, and the model card."""

from __future__ import annotations

import functools
import itertools
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

from fullrank.analysis.embeddings.table_spectra import TableSpectrum
from fullrank.analysis.figures.abundance import abundance_bars, spectra_heatmap
from fullrank.analysis.figures.importance import importance_bars
from fullrank.analysis.figures.matrix import matrix_heatmap
from fullrank.analysis.figures.training import training_curves
from fullrank.analysis.pages.page import CommandText, Section, Table
from fullrank.analysis.pages.pictures import Picture, Pictures
from fullrank.analysis.pages.run_files import RunFiles

_MOST_TASKS: Final = 4
_MOST_PICTURES: Final = 6
_METRICS: Final = ("ne", "auc")
_CALIBRATION: Final = ("scale", "shift", "ne_before", "ne")


def training_section(run: RunFiles, *, tasks: Sequence[str], pictures: Pictures) -> Section:
    """Curves of the first tasks, and what calibration changed in the best weights."""
    lines = [line for line in run.lines if line.get("kind") == "epoch"]
    if not lines:
        return Section(name="training", title="Training", missing=[("The run has not finished an epoch.", "")])
    best = ((run.result or {}).get("best") or {}).get("step")
    drawn = []
    for task in tasks[:_MOST_TASKS]:
        name = next((f"{task}_{m}" for m in _METRICS if any(f"{task}_{m}" in line for line in lines)), None)
        if name is None:
            continue
        drawn.append(
            pictures.drawn(
                functools.partial(
                    training_curves,
                    steps=[line["step"] for line in lines],
                    train=[line.get(name) for line in lines],
                    validation=[line.get(f"val_{name}") for line in lines],
                    best=best,
                    metric=name,
                ),
                caption="If training falls while validation rises, it overfits. If both still fall, train longer.",
                alt=f"{name} after each epoch",
            )
        )
    state = "It is not finished." if run.result is None else f"It took {run.result.get('steps', 0):,} steps."
    few = f" Curves are of the first {_MOST_TASKS} of {len(tasks)} tasks." if len(tasks) > _MOST_TASKS else ""
    return Section(name="training", title="Training", lead=state + few, pictures=drawn, tables=_calibration(run))


def _calibration(run: RunFiles) -> list[Table]:
    """Scale and shift of the tasks whose logits were calibrated; no table if none was."""
    found = ((run.result or {}).get("calibration") or {}).get("best") or {}
    rows = tuple((task, *(entry.get(name) for name in _CALIBRATION)) for task, entry in found.items())
    caption = "Calibrated on the validation split: the logit f of these tasks became scale f + shift"
    columns = ("task", "scale", "shift", "validation NE before", "validation NE")
    return [Table(columns=columns, rows=rows, caption=caption)] if rows else []


def collapse_section(tables: Sequence[TableSpectrum] | None, *, why: str, pictures: Pictures) -> Section:
    """Information abundance and spectra of each set."""
    trained = [table for table in tables or () if table.spectrum.rows]
    if not trained:
        return Section(name="collapse", title="Embeddings", missing=[(f"No table could be read: {why}.", "")])
    drawn, rows = [], []
    for name, group in itertools.groupby(sorted(trained, key=lambda t: t.set), key=lambda t: t.set):
        of_set = list(group)
        measures = {table.table: table.spectrum.measures() for table in of_set}
        size = {table.table: table.spectrum.rows for table in of_set}
        abundance = {t: (m["relative_abundance"], m["information_abundance"], size[t]) for t, m in measures.items()}
        spectra = {table.table: table.spectrum.singular_values for table in of_set}
        rows += [
            (name, t.table, t.all_rows, t.spectrum.rows, t.spectrum.width, *abundance[t.table][:2]) for t in of_set
        ]
        drawn += [
            pictures.drawn(
                functools.partial(abundance_bars, abundance=abundance, title=name, max_bars=30),
                caption="Short bars use few of their dimensions.",
                alt=f"Information abundance of the tables of {name}",
            ),
            pictures.drawn(
                functools.partial(spectra_heatmap, spectra=spectra, title=name, max_rows=30),
                caption="A table that is light from left to right uses all dimensions equally; dark ones collapsed.",
                alt=f"Singular values of the tables of {name}",
            ),
        ]
    columns = ("set", "table", "rows", "trained", "width", "IA / min(N, d)", "IA")
    lead = "Information abundance (IA), the sum of a table's singular values divided by the largest, over trained rows."
    table = Table(columns=columns, rows=tuple(rows), caption="Every table", folded=True)
    return Section(name="collapse", title="Embeddings", lead=lead, pictures=drawn, tables=[table])


def entanglement_section(run: RunFiles, *, tasks: Sequence[str], pictures: Pictures) -> Section:
    """The inputs of each gate, conflicts between the gradients of tasks, and pairs that two tasks see differently."""
    title = "Tasks and gates"
    if len(tasks) < 2:
        return Section(name="entanglement", title=title, lead="The run predicts one task, which shares nothing.")
    drawn: list[Picture] = []
    missing = []
    found = run.parts.get("conflicts")
    if found is None:
        missing.append(("What gates read, and whether tasks conflict.", run.command("conflicts")))
    else:
        gates = found["gates"]
        drawn.append(
            pictures.drawn(
                functools.partial(_matrix, gates, title="What each task reads", scale="mean gate weight"),
                caption="Light cells are experts that a task relies on. Tasks with equal rows share everything.",
                alt="Mean gate weights",
            )
        )
        for name, matrix in found["cosines"].items():
            drawn.append(
                pictures.drawn(
                    functools.partial(_matrix, matrix, title=f"Gradients on {name}", scale="cosine", smallest=-1.0),
                    caption="Cosine of two tasks' gradients: below zero they work against each other.",
                    alt=f"Cosines of gradients on {name}",
                )
            )
    if "entanglement" in run.parts:
        drawn += _files(run, "entanglement", "Pairs that are near in one task and far in the other, by their distance.")
    else:
        missing.append(("Pairs of users and items that two tasks see differently.", run.command("entanglement")))
    return Section(name="entanglement", title=title, pictures=drawn, missing=missing)


def features_section(run: RunFiles, *, pictures: Pictures) -> Section:
    """Permutation importance, and correlation with the label."""
    drawn: list[Picture] = []
    missing = []
    importance, correlation = run.parts.get("importance"), run.parts.get("correlation")
    lead = ""
    if importance is None:
        missing.append(("How much worse it predicts without each feature.", run.command("importance")))
    else:
        lead = f"Importance is measured on {importance['examples']:,} examples. "
        for task, found in list(importance["tasks"].items())[:_MOST_TASKS]:
            drawn.append(
                pictures.drawn(
                    functools.partial(importance_bars, importance=found, task=task),
                    caption="Redundant features replace each other, so each one alone can look unimportant.",
                    alt=f"Importance of features for {task}",
                )
            )
    if correlation is None:
        missing.append(
            ("What features and behaviours tell about the label, and what was learned.", run.command("correlation"))
        )
    else:
        drawn += _files(
            run, "correlation", f"Correlation of features with {correlation['label']}: {correlation['title']}."
        )
        learned = [
            f"{name} by {axis} {found['correlation']:.2f}"
            for name, axes in correlation["agreements"].items()
            for axis, found in axes.items()
            if found["correlation"] is not None
        ]
        lead += f"Rank correlation of learned and observed maps: {', '.join(learned)}." if learned else ""
    return Section(name="features", title="Features", lead=lead, pictures=drawn, missing=missing)


def groups_section(run: RunFiles) -> Section | None:
    """Learned groups; `None` for a run without them."""
    if not run.model.get("group_places"):
        return None
    title = "Learned groups"
    found = run.parts.get("groups")
    if found is None:
        return Section(
            name="groups", title=title, missing=[("How codes are used, and what they mean.", run.command("groups"))]
        )
    rows = [
        (place, level, each["usage"], each["perplexity"], each["left_over"])
        for place, content in found.items()
        for level, each in enumerate(content["levels"], 1)
    ]
    table = Table(
        columns=("place", "level", "codes in use", "perplexity", "left over"),
        rows=tuple(rows),
        caption="Perplexity is the effective number of codes in use.",
    )
    return Section(
        name="groups", title=title, pictures=_files(run, "groups", "Use and meaning of codes."), tables=[table]
    )


def card_section(run: RunFiles, *, tasks: Sequence[str]) -> Section:
    """The model card: data, use, limits, versions and command."""
    config, model = run.config, run.model
    data = config.get("data", {})
    examples = ", ".join(f"{name} {number:,}" for name, number in data.get("examples", {}).items())
    features = run.schema.get("features", [])
    rows: list[tuple[Any, ...]] = [
        (
            "model",
            f"{model['model']}, widths {_joined(model.get('widths'))}, experts {_joined(model.get('experts'))}",
        ),
        ("tasks", ", ".join(tasks)),
        (
            "features",
            f"{len(features)}: "
            + ", ".join(str(f.get("name")) for f in features[:12])
            + (" ..." if len(features) > 12 else ""),
        ),
        ("data", f"{run.schema.get('name')} in {run.data}; examples: {examples}"),
        ("fingerprint of the data", str(data.get("fingerprint"))),
        ("trained", str(config.get("created"))),
        ("versions", ", ".join(f"{name} {version}" for name, version in config.get("versions", {}).items())),
        ("commit", str(config.get("git_commit"))),
        ("command", _command(list(map(str, config.get("command", []))))),
        (
            "use",
            f"Scores examples of {run.schema.get('name')} as they were when it was trained, to rank and to price them.",
        ),
        ("limits", "Intervals cover other users, not another training. Associations are not causes."),
    ]
    return Section(name="card", title="Model card", tables=[Table(columns=("what", "value"), rows=tuple(rows))])


def _joined(given: Sequence[Any] | None) -> str:
    return ", ".join(map(str, given)) if given else "as by default"


def _command(given: Sequence[str]) -> CommandText:
    """The command line; its first argument may be several words, such as `fullrank train`."""
    return CommandText(" ".join([*given[:1], shlex.join(given[1:])]))


def _files(run: RunFiles, part: str, caption: str) -> list[Picture]:
    return [
        Pictures.file(path, caption=caption, alt=path.stem.replace("_", " "))
        for path in run.pictures(part)[:_MOST_PICTURES]
    ]


def _matrix(
    rows: Mapping[str, Mapping[str, float | None]], *, title: str, scale: str, path: Path, smallest: float = 0.0
) -> None:
    columns = list(next(iter(rows.values())))
    values = np.array([[np.nan if value is None else value for value in row.values()] for row in rows.values()])
    matrix_heatmap(
        values=values,
        rows=list(rows),
        columns=columns,
        title=title,
        scale=scale,
        smallest=smallest,
        largest=1.0,
        path=path,
    )
