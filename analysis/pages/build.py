"""Builds the page: reads a run, scores it if possible, and adds answers and figures."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

from fullrank.analysis.comparisons.runs import RunComparison, compare_runs
from fullrank.analysis.embeddings.collapse_results import analyse_collapse
from fullrank.analysis.embeddings.table_spectra import TableSpectrum
from fullrank.analysis.inputs import open_input
from fullrank.analysis.pages.answers import apart, better, bias_with_reach, kept_rank, reads, right
from fullrank.analysis.pages.file_sections import (
    card_section,
    collapse_section,
    entanglement_section,
    features_section,
    groups_section,
    training_section,
)
from fullrank.analysis.pages.inside_sections import parts_section, uncertainty_section
from fullrank.analysis.pages.page import Section, Table, Verdict, render
from fullrank.analysis.pages.pictures import Picture, Pictures
from fullrank.analysis.pages.run_files import RunFiles, read_run
from fullrank.analysis.pages.scored_sections import baseline_section, calibration_section, group_error, metrics_section


def report(
    run: str | Path,
    *,
    baseline: str | Path | None = None,
    data: str | Path | None = None,
    split: str = "test",
    predictions: tuple[str | Path, ...] = (),
    score: bool = True,
    directory: Path,
) -> str:
    """The page of a run as HTML.

    Args:
      run: Run directory.
      baseline: Another one, on the same data.
      data: Directory of the records; `None` for the one that the run was trained on.
      split: Split to score.
      predictions: Files that `fullrank predict` wrote for the run (and the baseline), to be read instead of scoring.
      score: Whether the run is scored; otherwise the page says what is missing.
      directory: Directory for temporary files.

    Raises:
      ValueError: If the run or the baseline is not a run, or they were trained on different data.
    """
    files = read_run(run)
    if baseline is not None:
        _check_same_data(files, read_run(baseline))
    pictures = Pictures(directory)
    name = files.path.name
    found, unscored = None, "Scoring was turned off."
    if score:
        sources = predictions or ((run,) if baseline is None else (run, baseline))
        found, unscored = _scored(files, tuple(sources), baseline, data=data, split=split, directory=directory)
    tables, why = _tables(files)
    tasks = tuple(files.model.get("tasks") or ()) or (tuple(found.metrics) if found else _first_label(files))
    compared = found if baseline is not None else None
    biases = errors = None
    if found is not None:
        scored = found.scored
        biases = {t: bias_with_reach(scored.labels[t], s[name], scored.weights) for t, s in scored.scores.items()}
        errors = {t: group_error(scored.labels[t], s[name], scored.weights) for t, s in scored.scores.items()}
    sections = [
        baseline_section(compared, run=name, pictures=pictures),
        *_scored_sections(found, files, unscored, pictures=pictures),
        collapse_section(tables, why=why, pictures=pictures),
        entanglement_section(files, tasks=tasks, pictures=pictures),
        features_section(files, pictures=pictures),
        groups_section(files),
        uncertainty_section(files, pictures=pictures),
        parts_section(files, pictures=pictures),
        training_section(files, tasks=tasks, pictures=pictures),
        card_section(files, tasks=tasks),
    ]
    verdicts = [
        better(compared, run=name),
        right(biases, errors=errors),
        kept_rank(tables),
        apart(files.parts.get("conflicts"), tasks=len(tasks), command=files.command("conflicts")),
        reads(files.parts.get("importance"), command=files.command("importance")),
    ]
    kept = [section for section in sections if section is not None]
    facts = [f"{len(tasks)} task{'s' * (len(tasks) != 1)}", f"{len(files.schema.get('features', []))} features"]
    facts += [found.title] if found is not None else []
    facts += [f"baseline {baseline}"] if baseline is not None else []
    return render(
        title=f"Report of {name}",
        subtitle=f"{files.model['model']} on {files.schema.get('name')}, {files.path}",
        facts=facts,
        verdicts=[_illustrated(verdict, kept) for verdict in verdicts],
        sections=kept,
    )


def _illustrated(verdict: Verdict, sections: list[Section]) -> Verdict:
    """Adds the first figure of its section that fits a small card, with its own identifiers."""
    shown = (picture for s in sections if s.name == verdict.section for picture in s.pictures)
    first = next((picture for picture in shown if _fits(picture)), None)
    if first is None:
        return verdict
    content = first.content.replace('id="f', 'id="cf').replace("url(#f", "url(#cf").replace('href="#f', 'href="#cf')
    return dataclasses.replace(verdict, picture=dataclasses.replace(first, content=content))


def _fits(picture: Picture) -> bool:
    """Whether a figure is not much taller than wide."""
    box = re.search(r'viewBox="0 0 ([\d.]+) ([\d.]+)"', picture.content)
    return box is not None and float(box[2]) <= 1.05 * float(box[1])


def _scored(
    files: RunFiles,
    sources: tuple[str | Path, ...],
    baseline: str | Path | None,
    *,
    data: str | Path | None,
    split: str,
    directory: Path,
) -> tuple[RunComparison | None, str]:
    """The comparison, the baseline first; or why there is none."""
    records = Path(data) if data is not None else Path(files.data)
    if not (records / "schema.json").is_file():
        return None, f"The records are no longer in {records}: give --data=DIRECTORY."
    name = files.path.name
    if baseline is None:
        runs = {name: sources[0]}
    else:
        other = Path(baseline).name
        runs = {other if other != name else f"{other} (baseline)": sources[1], name: sources[0]}
    return compare_runs(runs, data=records, split=split, directory=directory), ""


def _scored_sections(found: RunComparison | None, files: RunFiles, why: str, *, pictures: Pictures) -> list[Section]:
    if found is not None:
        name = files.path.name
        return [metrics_section(found, run=name), calibration_section(found, run=name, pictures=pictures)]
    evaluation = files.parts.get("evaluation")
    empty = Section(name="calibration", title="Calibration", missing=[(why, "")])
    if evaluation is None:
        return [Section(name="metrics", title="Metrics", missing=[(why, files.command("evaluation"))]), empty]
    columns = ("examples", "auc", "ne", "gauc", "ece", "bias", "base_rate")
    rows = tuple((task, *(result.get(name) for name in columns)) for task, result in evaluation.items())
    table = Table(columns=("task", *columns), rows=rows, caption="From eval.json.")
    return [Section(name="metrics", title="Metrics", lead=why, tables=[table]), empty]


def _tables(files: RunFiles) -> tuple[list[TableSpectrum] | None, str]:
    try:
        return list(analyse_collapse(open_input(files.path)).tables), ""
    except ValueError as error:
        return None, str(error).rstrip(".")


def _first_label(files: RunFiles) -> tuple[str, ...]:
    return tuple(str(label["name"]) for label in files.schema.get("labels", [])[:1])


def _check_same_data(files: RunFiles, other: RunFiles) -> None:
    """Rejects a baseline that was trained on records of another name or size.

    Raises:
      ValueError: If it was.
    """
    own, theirs = (each.config.get("data", {}) for each in (files, other))
    if files.schema.get("name") != other.schema.get("name") or own.get("examples") != theirs.get("examples"):
        raise ValueError(
            f"--baseline={other.path} was trained on other data ({other.schema.get('name')}, {theirs.get('examples')}) "
            f"than {files.path} ({files.schema.get('name')}, {own.get('examples')}): their examples cannot be compared."
        )
