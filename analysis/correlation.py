r"""Measures what features, pairs of features and past behaviours tell about a label ([Tencent] §7.1).

    fullrank correlation --data=records --label=click --output=correlation
    fullrank correlation --data=records --where='device=1 & age>=30' --pairs --output=correlation
    fullrank correlation --data=records --learned_pairs=runs/gwpfm/inspect/parts.json --output=pairs
    fullrank correlation --data=records --split=test --runs=tim:runs/tim,din:runs/din --output=map

Mutual information is in nats, in excess of that with permuted labels. Conditions are column=value, with = != < <= > or
>=, joined by &; history_category[1]=3 means the most recent behaviour, history_category=3 any. --where chooses
examples; each --constraint is a variable X in addition to the features. For a sequence with a target, the
semantic-temporal map is drawn: category of behaviours by position and by interval, for each target category. With
--runs it is also computed from the predictions of runs for the same examples, which shows the part of the pattern that
a model has not learned. The output holds correlation.json and figures.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from absl import flags

from fullrank.analysis.comparisons.tables import format_table
from fullrank.analysis.information.request import Request
from fullrank.data.command.command import new_flags, run_command
from fullrank.data.files.scratch import temporary_directory
from fullrank.data.files.write_aside import check_replaceable, write_text, written_aside

RESULT: Final = "correlation.json"
_COLUMNS: Final = ("feature", "kind", "values", "MI", "% of entropy", "plug-in", "by chance", "97.5 % of chance", "p")
_SHOWN: Final = 5
_DEFAULT: Final = Request()


def correlation(flag_values: flags.FlagValues) -> None:
    """Runs the command with parsed flags.

    Raises:
      ValueError: If a requested column or value is missing, or no example is left.
    """
    output = Path(flag_values.output)
    check_replaceable(output, overwrite=flag_values.overwrite, made_of=RESULT)
    # Loaded only for a valid command line, so that --help and errors are fast.
    from fullrank.analysis.information.correlate import correlate
    from fullrank.analysis.information.figures import draw_correlation
    from fullrank.analysis.information.learned_pairs import read_strengths
    from fullrank.analysis.inputs.run_scores import score_run
    from fullrank.data.schema.json import read_schema

    runs = _named(flag_values.runs)
    learned = flag_values.learned_pairs
    strengths = read_strengths(learned) if learned is not None else None
    request = Request(
        split=flag_values.split,
        label=flag_values.label,
        where=" & ".join(flag_values.where),
        constraints=tuple(flag_values.constraint),
        features=tuple(flag_values.features),
        buckets=flag_values.buckets,
        draws=flag_values.draws,
        pairs=flag_values.pairs or learned is not None,
        pair_values=flag_values.pair_values,
        behaviour=flag_values.behaviour,
        behaviour_where=flag_values.behaviour_where,
        target=flag_values.target,
        categories=flag_values.categories,
        positions=flag_values.positions,
        intervals=tuple(flag_values.intervals),
        least=flag_values.least_examples,
        seed=flag_values.seed,
    )
    with temporary_directory("scores") as scratch:
        scores = {
            name: score_run(run, data=flag_values.data, split=request.split, output=scratch / f"{place}.parquet")
            for place, (name, run) in enumerate(runs.items())
        }
        found = correlate(read_schema(flag_values.data), request, scores=scores, strengths=strengths)
    content = found.to_json()
    with written_aside(output, overwrite=flag_values.overwrite, made_of=RESULT) as aside:
        draw_correlation(found, aside, targets=flag_values.figures)
        write_text(aside / RESULT, json.dumps(content, indent=1, allow_nan=False) + "\n")
    print(summary(content))
    print(f"Wrote {output}.")


def summary(content: dict[str, Any]) -> str:
    """The numbers of `correlation.json` as text."""
    label, entropy = content["label"], content["entropy"]
    lines = [
        f"{content['title']}: {content['examples']:,} examples, {content['positives']:,} with {label}, entropy "
        f"{entropy:.4f} nats."
    ]
    rows = [
        {
            "feature": each["name"],
            "kind": each["kind"],
            "values": each["values"],
            "MI": each["corrected"],
            "% of entropy": 100 * each["corrected"] / entropy,
            "plug-in": each["plugin"],
            "by chance": each["chance"],
            "97.5 % of chance": each["high"],
            "p": each["p_value"],
        }
        for each in content["ranking"]
    ]
    lines.append(format_table(rows=rows, columns=_COLUMNS))
    lines += [f"Not counted: {name}: {why}." for name, why in content["left_out"].items()]
    if content["pairs"]:
        lines.append(
            "\nInteraction information, what two features tell together beyond each alone: largest and smallest pairs:"
        )
        shown = content["pairs"]
        shown = shown if len(shown) <= 2 * _SHOWN else [*shown[:_SHOWN], *shown[-_SHOWN:]]
        lines.append(format_table(rows=shown, columns=("first", "second", "joint", "interaction")))
    for expert, learned in content["learned_pairs"].items():
        both = ["undefined" if learned[name] is None else f"{learned[name]:.3f}" for name in ("joint", "interaction")]
        lines.append(
            f"Strengths that {expert} learned for {len(learned['pairs'])} pairs: rank correlation {both[0]} with the "
            f"joint information of the pair, {both[1]} with its interaction information."
        )
    lines += _map_lines(content)
    return "\n".join(lines)


def _map_lines(content: dict[str, Any]) -> list[str]:
    lines = [f"\nSemantic-temporal map of {content['behaviour']}:"] if content["maps"] else []
    for axis, cells in content["maps"].items():
        first = sum(_own_category_first(cells, place) for place in range(len(cells["targets"])))
        lines.append(
            f"By {axis}, behaviours of the target's own category tell the most for {first} of {len(cells['targets'])} "
            "target categories."
        )
    for decay in content["decays"]:
        if decay["same"]:
            unit = "positions" if decay["axis"] == "position" else "seconds"
            shown = (
                "no decay can be estimated"
                if decay["constant"] is None
                else f"time constant {decay['constant']:.4g} ± {decay['error']:.2g} {unit}"
            )
            lines.append(f"  {decay['source']} by {decay['axis']}: {shown}.")
    for run, axes in content["agreements"].items():
        for axis, found in axes.items():
            both = [found["correlation"], found["own_category"]]
            everywhere, own = ("undefined" if value is None else f"{value:.3f}" for value in both)
            lines.append(
                f"Map of {run} by {axis}: rank correlation with the observed one {everywhere} over {found['cells']} "
                f"cells, {own} over those of the target's own category."
            )
            lines += [
                f"  not learned: behaviours {cell['behaviour']} at {axis} {cell[axis]} for target {cell['target']}"
                for cell in found["missed"][:3]
            ]
    return lines


def _own_category_first(cells: dict[str, Any], place: int) -> bool:
    """Whether the row of the target's own category has the largest sum among the chosen categories."""
    sums = [sum(value or 0.0 for value in row) for row in cells["information"]["label"][place][:-1]]
    return max(range(len(sums)), key=sums.__getitem__) == place


def _named(given: Sequence[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for text in given:
        name, colon, path = text.partition(":")
        if not (name and colon and path) or name in found or name == "label":
            raise ValueError(f"--runs takes name:run with different names, such as tim:runs/tim. Received: {text!r}.")
        found[name] = path
    return found


def run(argv: Sequence[str] | None = None) -> None:
    """Runs the command line."""
    flag_values = new_flags()
    _define_flags(flag_values)
    argv = list(sys.argv if argv is None else argv)
    run_command(lambda: correlation(flag_values), flag_values=flag_values, argv=argv, tensorflow=True)


def _define_flags(flag_values: flags.FlagValues) -> None:
    at: dict[str, Any] = {"flag_values": flag_values}
    default = _DEFAULT
    flags.DEFINE_string("data", None, "Directory of the records.", required=True, **at)
    flags.DEFINE_string("output", None, "Directory to write.", required=True, **at)
    flags.DEFINE_string("split", default.split, "Split of --data to read.", **at)
    flags.DEFINE_string("label", default.label, "Binary label; the first one if not given.", **at)
    flags.DEFINE_multi_string("where", [], "Condition on examples; repeated ones must all hold.", **at)
    flags.DEFINE_multi_string("constraint", [], "Conditions that are measured as a feature; may be repeated.", **at)
    flags.DEFINE_list("features", [], "Features to rank; all if not given.", **at)
    flags.DEFINE_integer("buckets", default.buckets, "Quantile buckets of a number.", 2, **at)
    flags.DEFINE_integer("draws", default.draws, "Permutations of the label drawn for each interval.", 20, **at)
    flags.DEFINE_bool("pairs", default.pairs, "Also measure the interaction information of all pairs.", **at)
    flags.DEFINE_string(
        "learned_pairs",
        None,
        "JSON file of inspect-run, whose learned strengths of pairs are compared with measured ones; implies --pairs.",
        **at,
    )
    flags.DEFINE_integer(
        "pair_values",
        default.pair_values,
        "Number of values of a feature that --pairs distinguishes; the others are pooled.",
        1,
        256,
        **at,
    )
    flags.DEFINE_string(
        "behaviour", None, "Column of behaviours to map; that of the ad's smallest table if not given.", **at
    )
    flags.DEFINE_string("behaviour_where", "", "Condition on single behaviours, such as clicks_rating>=5.", **at)
    flags.DEFINE_string("target", None, "Target feature of the same table; its owner if not given.", **at)
    flags.DEFINE_integer("categories", default.categories, "Most frequent target categories to map.", 1, 200, **at)
    flags.DEFINE_integer("positions", default.positions, "Most recent behaviours to map.", 1, **at)
    flags.DEFINE_list("intervals", list(default.intervals), "Edges of the interval buckets: 30s, 10m, 2h, 7d.", **at)
    flags.DEFINE_list("runs", [], "Runs whose predictions are also mapped, as name:run.", **at)
    flags.DEFINE_integer(
        "least_examples", default.least, "Examples with and without a behaviour that a compared cell needs.", 1, **at
    )
    flags.DEFINE_integer("figures", 3, "Target categories to draw maps of.", 1, **at)
    flags.DEFINE_integer("seed", default.seed, "Seed of the permutations.", 0, **at)
    flags.DEFINE_bool("overwrite", False, "Replace an analysis that is already in --output.", **at)


if __name__ == "__main__":
    run()
