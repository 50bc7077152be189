"""Hillstrom's e-mail campaign: did the customer visit, buy, and spend how much? Treatments were assigned at random.

Origin: Kevin Hillstrom, the MineThatData E-Mail Analytics and Data Mining Challenge, 2008. No licence was stated; it
was published as an open challenge.

Rows: 64,000 customers; men's e-mail, women's e-mail or none, a third each. `visit` 14.7 %, `conversion` .90 % (never
without a visit), mean `spend` 1.05 dollars (0 without a conversion).

Split: no time; 80/10/10 at random by seed.

Leaks, decided: only visit, conversion and spend are outcomes; everything else is a feature. The
treatment is the ad. `propensity`, its true probability 1/3, is a constant of the experiment that off-policy estimates
need. It is a label of type `value` because a record has no other place for a number that is not an input: do not train
on it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import pyarrow as pa

from fullrank.data.schema.features import Feature, IdMap, Label, Numeric, Sparse
from fullrank.data.schema.schema import Schema
from fullrank.data.sources.raw_files import find_file, read_delimited, required
from fullrank.data.sources.source import Source, at_random, divided
from fullrank.data.tables.text_files import names_in_first_line

FILES: Final = (
    "hillstrom.csv",
    "Kevin_Hillstrom_MineThatData_E-MailAnalytics_DataMiningChallenge_2008.03.20.csv",
)
PROPENSITY: Final = 1 / 3


def load(*, raw_dir: Path | None, seed: int = 0) -> Source:
    """Reads Hillstrom's campaign.

    Args:
      raw_dir: Folder with `hillstrom.csv`, or with the challenge's own file; the treatment may be named `segment`.
      seed: Seed of the split.

    Raises:
      ValueError: If no folder was given or the file is malformed.
      FileNotFoundError: If the folder does not hold the file.
    """
    directory = required(raw_dir, dataset="hillstrom", holds="hillstrom.csv (MineThatData E-Mail challenge)")
    path = find_file(directory, *FILES, dataset="hillstrom")
    header = names_in_first_line(path, separator=",", quote='"', encoding="utf-8")
    treatment = "segment" if "segment" in header else "treatment"
    text, whole, real = pa.string(), pa.int64(), pa.float32()
    types = {
        "recency": real, "history_segment": text, "history": real, "mens": whole, "womens": whole, "zip_code": text,
        "newbie": whole, "channel": text, treatment: text, "visit": real, "conversion": real, "spend": real,
    }  # fmt: skip
    table = read_delimited(path, types=types, delimiter=",", quoted=True, required=list(types))
    table = table.rename_columns([name if name != treatment else "treatment" for name in types])
    propensity = pa.repeat(pa.scalar(PROPENSITY, pa.float32()), table.num_rows)
    table = table.append_column("propensity", propensity)
    return Source(schema=_schema(), splits=divided(table, at_random(table.num_rows, seed=seed)))


def _schema() -> Schema:
    def flag(name: str) -> Sparse:
        return Sparse(name=name, side="user", ids=IdMap(kind="identity", size=2))

    features: tuple[Feature, ...] = (
        Numeric(name="recency", side="user"),
        Sparse(name="history_segment", side="user", dtype="bytes"),
        Numeric(name="history", side="user"),
        flag("mens"),
        flag("womens"),
        Sparse(name="zip_code", side="user", dtype="bytes"),
        flag("newbie"),
        Sparse(name="channel", side="user", dtype="bytes"),
        Sparse(name="treatment", side="ad", dtype="bytes"),
    )
    values = (Label(name="spend", type="value"), Label(name="propensity", type="value"))
    return Schema(
        name="hillstrom",
        features=features,
        labels=(Label(name="visit"), Label(name="conversion"), *values),
    )
