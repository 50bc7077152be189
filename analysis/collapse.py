"""Measures how far embedding tables have collapsed: spectra, information abundance, diversity ([Tencent] §7.2).

    fullrank collapse --input=runs/me --output=collapse
    fullrank collapse --input=model/checkpoints --tables='embedd' --output=collapse

--input is a run directory, an exported model, any TensorFlow checkpoint or SavedModel, an .npz or a .safetensors file.
The output holds collapse.json and figures. Rows that were never trained keep the isotropy of their initial values and
hide a collapse, so they are left out if they can be identified: by --frequencies, --initial, or the optimiser slots
that are saved with the weights.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from absl import flags

from fullrank.analysis.comparisons.tables import format_table
from fullrank.analysis.inputs.open_input import MAX_WIDTH, MIN_ROWS
from fullrank.data.command.command import new_flags, run_command
from fullrank.data.files.write_aside import check_replaceable, write_text, written_aside

RESULT: Final = "collapse.json"
_COLUMNS: Final = ("table", "rows", "trained", "width", "IA", "IA/min(N,d)", "eff. rank", "part. ratio", "stable rank")


def collapse(flag_values: flags.FlagValues) -> None:
    """Runs the command with parsed flags.

    Raises:
      ValueError: If the input cannot be read, or frequencies or initial values do not fit it.
    """
    # Loaded only for a valid command line, so that --help and errors are fast.
    from fullrank.analysis.embeddings.collapse_figures import draw_collapse
    from fullrank.analysis.embeddings.collapse_results import analyse_collapse
    from fullrank.analysis.inputs import open_input
    from fullrank.analysis.inputs.npz import read_arrays

    output = Path(flag_values.output)
    check_replaceable(output, overwrite=flag_values.overwrite, made_of=RESULT)
    choice = {"tables": flag_values.tables, "min_rows": flag_values.min_rows, "max_width": flag_values.max_width}
    found = analyse_collapse(
        open_input(flag_values.input, **choice),
        frequencies=None if flag_values.frequencies is None else read_arrays(Path(flag_values.frequencies)),
        initial=None if flag_values.initial is None else open_input(flag_values.initial, **choice),
    )
    content = found.to_json()
    with written_aside(output, overwrite=flag_values.overwrite, made_of=RESULT) as aside:
        draw_collapse(found, aside)
        _write(content, aside / RESULT)
    if flag_values.json is not None:
        _write(content, Path(flag_values.json))
    print(summary(content, left_out=found.given.left_out))
    print(f"Wrote {output}.")


def summary(content: dict[str, Any], *, left_out: Sequence[str] = ()) -> str:
    """The numbers of `collapse.json` as text."""
    tables = content["tables"]
    lines = [f"{content['weights']} ({content['kind']}), {len(tables)} tables:"]
    lines.append(format_table(rows=[_row(table) for table in tables], columns=_COLUMNS))
    known = sorted({table["trained_rows_known_by"] for table in tables} - {"nothing"})
    if known:
        lines.append(f"Trained rows are identified by {' and '.join(known)}.")
    unknown = sum(table["trained_rows_known_by"] == "nothing" for table in tables)
    if unknown:
        lines.append(
            f"The trained rows of {unknown} tables are unknown, so all rows count and a collapse may be "
            "hidden: give --frequencies or --initial, or a checkpoint that holds the optimiser."
        )
    if content["diversity"]:
        rows = [{**entry, "sets": " - ".join(entry["sets"])} for entry in content["diversity"]]
        lines.append("\nDiversity, 1 - mean cosine of principal angles, and its lower bound for random tables:")
        lines.append(format_table(rows=rows, columns=("table", "sets", "diversity", "diversity_at_random")))
    for entry in content["by_partner"]:
        lines.append(f"\nSub-embeddings of {entry['expert']} (set {entry['set']}), mean IA over fields by partner:")
        lines.append(format_table(rows=_partners(entry), columns=("partner", "rows", "mean IA")))
    if left_out:
        some = ", ".join(left_out[:5]) + (f" and {len(left_out) - 5} more" if len(left_out) > 5 else "")
        lines.append(f"\nNot used as tables: {some}. --tables=REGEX chooses by name.")
    return "\n".join(lines)


def _row(table: dict[str, Any]) -> dict[str, object]:
    name = f"{table['set']}/{table['table']}" if table["set"] else table["table"]
    values = (
        name,
        table["rows"],
        table["trained_rows"] if table["trained_rows_known_by"] != "nothing" else None,
        table["width"],
        table["information_abundance"],
        table["relative_abundance"],
        table["effective_rank"],
        table["participation_ratio"],
        table["stable_rank"],
    )
    return dict(zip(_COLUMNS, values, strict=True))


def _partners(entry: dict[str, Any]) -> list[dict[str, object]]:
    means = [sum(column) / len(column) for column in zip(*entry["abundance"], strict=True)]
    rows: list[dict[str, object]] = [
        {"partner": partner, "rows": number, "mean IA": mean}
        for partner, number, mean in zip(entry["partners"], entry["partner_rows"], means, strict=True)
    ]
    return sorted(rows, key=lambda row: float(str(row["mean IA"])))


def _write(content: dict[str, Any], file: Path) -> None:
    write_text(file, json.dumps(content, indent=1, allow_nan=False) + "\n")


def run(argv: Sequence[str] | None = None) -> None:
    """Runs the command line."""
    flag_values = new_flags()
    _define_flags(flag_values)
    run_command(lambda: collapse(flag_values), flag_values=flag_values, argv=list(sys.argv if argv is None else argv))


def _define_flags(flag_values: flags.FlagValues) -> None:
    at: dict[str, Any] = {"flag_values": flag_values}
    flags.DEFINE_string(
        "input", None, "Run directory, checkpoint, SavedModel, .npz or .safetensors.", required=True, **at
    )
    flags.DEFINE_string("output", None, "Directory to write.", required=True, **at)
    flags.DEFINE_string("json", None, "File to write all numbers to.", **at)
    flags.DEFINE_string(
        "tables",
        None,
        "Regular expression to find in the names of the tables to analyse (set/table in a run or exported model).",
        **at,
    )
    flags.DEFINE_integer(
        "min_rows",
        MIN_ROWS,
        "Without --tables, if the input does not describe its tables: fewest rows of a matrix that counts as one.",
        1,
        **at,
    )
    flags.DEFINE_integer("max_width", MAX_WIDTH, "Like --min_rows: largest number of columns.", 1, **at)
    flags.DEFINE_string(
        "frequencies",
        None,
        "An .npz with the number of lookups of each row, by name of the table: adds spectra weighted by them.",
        **at,
    )
    flags.DEFINE_string("initial", None, "The same model before training, in any form that --input takes.", **at)
    flags.DEFINE_bool("overwrite", False, "Replace an analysis that is already in --output.", **at)


if __name__ == "__main__":
    run()
