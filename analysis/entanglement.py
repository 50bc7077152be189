r"""Shows whether embeddings can represent contradictory interests of two tasks in the same pair ([Tencent] §7.3).

    fullrank entanglement --first=click:runs/click --second=like:runs/like \
        --runs=ple:runs/ple,stem:runs/stem --user=user_id --item=ad_id --data=records --output=entangled

--first and --second are single-task runs: by their embeddings, pairs are selected that are near in one task and far in
the other. The figure shows their distances in every embedding set of every run; the table shows how well each set
separates the pairs for either task. One set has one distance for a pair, so its two numbers sum to 1. A model may give
the product a negative weight, so that near pairs are the negatives: with --data such a set is inverted.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from absl import flags

from fullrank.analysis.comparisons.tables import format_table
from fullrank.data.command.command import new_flags, run_command
from fullrank.data.files.write_aside import check_replaceable, written_aside

RESULT: Final = "entanglement.json"


def entanglement(flag_values: flags.FlagValues) -> None:
    """Runs the command with parsed flags.

    Raises:
      ValueError: If a run cannot be read, or the runs do not fit together.
    """
    # Loaded only for a valid command line, so that --help and errors are fast.
    from fullrank.analysis.embeddings.embedding_spaces import draw_pairs, labelled_pairs, spaces_of
    from fullrank.analysis.embeddings.entanglement_figures import draw_pair_distances
    from fullrank.analysis.embeddings.entanglement_results import analyse_entanglement
    from fullrank.analysis.inputs import open_input
    from fullrank.data.schema.json import read_schema

    output = Path(flag_values.output)
    check_replaceable(output, overwrite=flag_values.overwrite, made_of=RESULT)
    single = [_named("first", flag_values.first), _named("second", flag_values.second)]
    runs = [_named("runs", text) for text in flag_values.runs]
    names = [name for name, _ in (*single, *runs)]
    if len(set(names)) != len(names):
        raise ValueError(f"Two runs have the same name: {', '.join(names)}.")
    tables = {"user": flag_values.user, "item": flag_values.item}
    spaces = [spaces_of(open_input(path), run=name, **tables) for name, path in (*single, *runs)]
    for (name, path), own in zip(single, spaces, strict=False):
        if len(own) > 1:
            listed = ", ".join(space.set for space in own)
            raise ValueError(
                f"The run of task {name}, {path}, has several embedding sets, {listed}: use a run with one set."
            )
    everything = [space for own in spaces for space in own]
    pairs = draw_pairs(everything, number=flag_values.pairs, seed=flag_values.seed)
    tasks = (names[0], names[1])
    shown = None
    if flag_values.data is not None:
        of_records = {"split": flag_values.split, "examples": flag_values.examples}
        shown = labelled_pairs(read_schema(flag_values.data), **tables, tasks=tasks, **of_records)
    found = analyse_entanglement(everything, tasks=tasks, pairs=pairs, share=flag_values.share, shown=shown)
    content = found.to_json()
    with written_aside(output, overwrite=flag_values.overwrite, made_of=RESULT) as aside:
        draw_pair_distances(found, path=aside / "distances.png")
        found.write_pairs(aside / "pairs.parquet")
        (aside / RESULT).write_text(json.dumps(content, indent=1, allow_nan=False) + "\n", encoding="utf-8")
    print(summary(content))
    print(f"Wrote {output}.")


def summary(content: dict[str, Any]) -> str:
    """The numbers of `entanglement.json` as text."""
    first, second = content["tasks"]
    near = content["selected"]
    lines = [
        f"{near[first]:,} of {content['pairs']:,} pairs are near in {first} and far in {second}, {near[second]:,} the "
        "other way round.",
        "Separation: the probability that a pair that is near in a task is nearer than one that is far. 1 is the "
        "task's own space, 1/2 is chance.",
    ]
    rows = [
        {"run": s["run"], "set": s["set"], **s["separation"], "turned": "yes" if s["turned"] else "no"}
        for s in content["spaces"]
    ]
    lines.append(format_table(rows=rows, columns=("run", "set", first, second, "turned")))
    rows = [{"run": name, **best, "sum": sum(best.values())} for name, best in content["best"].items()]
    lines.append("\nBest set for each task; for a run with one set the sum is 1:")
    lines.append(format_table(rows=rows, columns=("run", first, second, "sum")))
    return "\n".join(lines)


def _named(flag: str, text: str) -> tuple[str, str]:
    name, colon, path = text.partition(":")
    if not (name and colon and path):
        raise ValueError(f"--{flag}: {text!r} is not name:run, such as click:runs/click.")
    return name, path


def run(argv: Sequence[str] | None = None) -> None:
    """Runs the command line."""
    flag_values = new_flags()
    _define_flags(flag_values)
    argv = list(sys.argv if argv is None else argv)
    run_command(lambda: entanglement(flag_values), flag_values=flag_values, argv=argv)


def _define_flags(flag_values: flags.FlagValues) -> None:
    at: dict[str, Any] = {"flag_values": flag_values}
    flags.DEFINE_string("first", None, "A task and its single-task run, as click:runs/click.", required=True, **at)
    flags.DEFINE_string("second", None, "Another task and its single-task run.", required=True, **at)
    flags.DEFINE_list("runs", [], "Further runs to analyse, as name:run.", **at)
    flags.DEFINE_string("user", None, "Feature of users, whose table is read.", required=True, **at)
    flags.DEFINE_string("item", None, "Feature of items or ads.", required=True, **at)
    flags.DEFINE_string(
        "data", None, "Records that the runs were trained on, to find sets in which near pairs are the negatives.", **at
    )
    flags.DEFINE_string("split", "validation", "Split of --data to read.", **at)
    flags.DEFINE_integer("examples", 100_000, "Maximum number of examples of --data to read.", 100, **at)
    flags.DEFINE_string("output", None, "Directory to write.", required=True, **at)
    flags.DEFINE_integer("pairs", 200_000, "Pairs of users and items to draw.", 100, **at)
    flags.DEFINE_float("share", 0.2, "Nearest and farthest share of the pairs that count as near and far.", **at)
    flags.DEFINE_integer("seed", 1, "Seed of the draw.", 0, **at)
    flags.DEFINE_bool("overwrite", False, "Replace an analysis that is already in --output.", **at)


if __name__ == "__main__":
    run()
