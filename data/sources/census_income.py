"""Census-Income (KDD): three facts about a person predicted at once, the set of the MMoE and PLE papers.

Origin: US Census Bureau, Current Population Surveys of 1994 and 1995; UCI repository, doi:10.24432/C5N30T, CC BY 4.0.

Rows: 299,285 in UCI's two files, 99,762 of them in the test half, which suffices alone. Tasks and rates in that half:
`income` above 50,000 dollars 6.2 %, `never_married` 43.3 %, `college` (an associate's degree or more) 19.5 %.

Split: there is no time; 80/10/10 at random by seed, over whichever files are present.

Leaks, decided:

* The instance weight (column 24) is the number of people that a row represents; it does not describe the person and is
dropped.
* A task drops the column that it is derived from: `never_married` drops `marital_status`, `college` drops `education`.
  Education helps to predict income, so to compare with published numbers of (income, never_married), ask for these two
  tasks only, which keeps it.
* Tax filer status and role in the household reveal much about marriage ("joint", "spouse of householder"). Published
work keeps them, and so does this module: never_married is an easy task here, with an AUC above .99.
* "Not in universe" (a question that was not asked) is a value of its own; "?" is a missing one.

Columns 2, 3, 30, 36, 37 (text), 38 and 40 are codes, not quantities, although some are written as numbers.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from fullrank.data.schema.features import Feature, Label, Numeric, Sparse
from fullrank.data.schema.schema import Schema
from fullrank.data.sources.raw_files import find_file, read_delimited, required
from fullrank.data.sources.source import Source, at_random, divided

COLUMNS: Final = (
    "age", "class_of_worker", "industry_code", "occupation_code", "education", "wage_per_hour", "enrolled",
    "marital_status", "major_industry", "major_occupation", "race", "hispanic_origin", "sex", "union_member",
    "unemployment_reason", "employment", "capital_gains", "capital_losses", "dividends", "tax_filer_status",
    "previous_region", "previous_state", "household_detail", "household_summary", "instance_weight", "migration_msa",
    "migration_region", "migration_within_region", "same_house", "migration_sunbelt", "employer_size",
    "parents_present", "father_birth_country", "mother_birth_country", "birth_country", "citizenship", "own_business",
    "veterans_questionnaire", "veterans_benefits", "weeks_worked", "year", "income_class",
)  # fmt: skip
NUMERIC: Final = ("age", "wage_per_hour", "capital_gains", "capital_losses", "dividends", "weeks_worked")
CODES: Final = ("industry_code", "occupation_code", "employer_size", "own_business", "veterans_benefits", "year")
MADE_OF: Final = {"income": "income_class", "never_married": "marital_status", "college": "education"}
TASKS: Final = tuple(MADE_OF)
COLLEGE: Final = (
    "Associates degree-academic program",
    "Associates degree-occup /vocational",
    "Bachelors degree(BA AB BS)",
    "Masters degree(MA MS MEng MEd MSW MBA)",
    "Doctorate degree(PhD EdD)",
    "Prof school degree (MD DDS DVM LLB JD)",
)
HALVES: Final = ("census-income.data", "census-income.test")


def load(*, raw_dir: Path | None, seed: int = 0, tasks: Sequence[str] = TASKS) -> Source:
    """Reads Census-Income.

    Args:
      raw_dir: Folder with `census-income.data`, `census-income.test`, or both, each also as `.gz`.
      seed: Seed of the split.
      tasks: Labels wanted, the main one first.

    Raises:
      ValueError: If no folder was given, a file is malformed, or a task is unknown.
      FileNotFoundError: If the folder holds neither file.
    """
    unknown = [task for task in tasks if task not in MADE_OF]
    if unknown or not tasks:
        raise ValueError(f"census_income has the tasks {', '.join(TASKS)}. Received: {', '.join(unknown) or 'none'}.")
    directory = required(
        raw_dir, dataset="census_income", holds="census-income.data.gz and census-income.test.gz (UCI)"
    )
    halves = [name for name in HALVES if (directory / name).is_file() or (directory / f"{name}.gz").is_file()]
    tables = [_read(directory, name) for name in halves or HALVES]
    table = _rows(pa.concat_tables(tables).combine_chunks())
    return Source(schema=_schema(tuple(tasks)), splits=divided(table, at_random(table.num_rows, seed=seed)))


def _schema(tasks: tuple[str, ...]) -> Schema:
    dropped = {"instance_weight", *(MADE_OF[task] for task in ("income", *tasks))}
    features: list[Feature] = []
    for name in COLUMNS:
        if name in NUMERIC:
            features.append(Numeric(name=name, side="user"))
        elif name not in dropped:
            features.append(Sparse(name=name, side="user", dtype="int64" if name in CODES else "bytes"))
    return Schema(
        name="census_income",
        features=tuple(features),
        labels=tuple(Label(name=task) for task in tasks),
    )


def _read(directory: Path, name: str) -> pa.Table:
    path = find_file(directory, f"{name}.gz", name, dataset="census_income")
    table = read_delimited(path, types=dict.fromkeys(COLUMNS, pa.string()), delimiter=",", names=COLUMNS)
    # Fields are separated by a comma and a space, which a delimiter of one character cannot express.
    trimmed = [pc.utf8_trim_whitespace(column) for column in table.columns]
    return pa.table(trimmed, names=list(COLUMNS))


def _rows(table: pa.Table) -> pa.Table:
    columns = {}
    for name in COLUMNS:
        values = pc.if_else(pc.is_in(table[name], pa.array(["?", ""])), None, table[name])
        columns[name] = values if name not in (*NUMERIC, *CODES) else _numbers(values, name)
    classes = pc.is_in(table["income_class"], pa.array(["- 50000.", "50000+."]))
    if not pc.all(classes).as_py():
        strange = table["income_class"][classes.combine_chunks().index(False).as_py()].as_py()
        raise ValueError(f"census_income: the last column is {strange!r} where '- 50000.' or '50000+.' belongs.")
    columns["income"] = pc.equal(table["income_class"], "50000+.")
    columns["never_married"] = pc.equal(table["marital_status"], "Never married")
    columns["college"] = pc.is_in(table["education"], pa.array(COLLEGE))
    for task in TASKS:
        columns[task] = columns[task].cast(pa.float32())
    return pa.table(columns)


def _numbers(values: pa.ChunkedArray, name: str) -> pa.ChunkedArray:
    try:
        return values.cast(pa.float32() if name in NUMERIC else pa.int64())
    except pa.ArrowInvalid as error:
        raise ValueError(f"census_income: column {name} holds something that is not a number: {error}.") from error
