"""Writes a public data set, or the synthetic one, as records.

Usage:
  fullrank prepare --dataset=movielens --output=records
  fullrank prepare --dataset=synthetic --rows=200000 --seed=1 --output=records
  fullrank prepare --dataset=movielens --graph=graphs/movielens --output=records_with_vectors
  fullrank prepare --dataset=synthetic --exposures=user_id:ad_id --output=records
  fullrank prepare --dataset=criteo --raw_dir=~/criteo --output=records

Data sets (the card of each, with rates, split and leaks, is the documentation of fullrank.data.sources.<name>):
  movielens      100,000 film ratings, liked or not; histories; split by time. Fetched by pip unless --raw_dir is given.
  criteo         45.8 million display ads, 39 fields; split by time. --raw_dir with train.txt of the Kaggle challenge.
  census_income  99,762 or more people, three tasks; split at random. --raw_dir with census-income.test.gz (UCI).
  hillstrom      64,000 e-mail ads: visit, conversion, spend; split at random. --raw_dir with hillstrom.csv.
  kuairand       41,828 views of videos, seven labels, histories; by time. --raw_dir with kuairand27k_explicit.tsv.
  obd            60,000 impressions of two bandit policies, propensities; split by time. --raw_dir with {random,bts}/.
  synthetic      Any number of ad impressions with planted truth; split by time. Needs nothing.

Statistics and vocabularies come from the training split only. The output appears as a whole when everything is written.
"""

from __future__ import annotations

import dataclasses
import itertools
import textwrap
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

from absl import flags

from fullrank.data.command.command import new_flags, run_command
from fullrank.data.command.errors import UsageError
from fullrank.data.convert import COMPRESSIONS, summary
from fullrank.data.exposures.flags import define_exposure_flags, read_exposures
from fullrank.data.exposures.rows import add_exposures, check_exposable, exposure_extras
from fullrank.data.exposures.spec import exposed_schema
from fullrank.data.files.write_aside import check_replaceable
from fullrank.data.schema.json import FILE_NAME
from fullrank.data.sources import census_income, criteo, hillstrom, kuairand, movielens, obd, synthetic
from fullrank.data.sources.graph_join import join_graph
from fullrank.data.sources.source import Source, rare_positives
from fullrank.data.sources.synthetic_world import SyntheticConfig
from fullrank.data.tables.bad_rows import BadRows
from fullrank.data.writing.build import Building, Sources
from fullrank.data.writing.splits import by_source

_OPTIONS: Final = ("raw_dir", "seed", "rows", "users", "ads", "latent", "affinity", "tasks", "min_count")
"""Flags that mean something to some data sets only."""


@dataclasses.dataclass(frozen=True)
class _DataSet:
    """A loader, and the flags that it takes as arguments."""

    load: Callable[..., Source]
    takes: tuple[str, ...]


def _load_synthetic(**chosen: Any) -> Source:
    return synthetic.load(config=SyntheticConfig(**chosen))


DATASETS: Final = {
    "movielens": _DataSet(movielens.load, ("raw_dir",)),
    "criteo": _DataSet(criteo.load, ("raw_dir", "min_count", "progress")),
    "census_income": _DataSet(census_income.load, ("raw_dir", "seed", "tasks")),
    "hillstrom": _DataSet(hillstrom.load, ("raw_dir", "seed")),
    "kuairand": _DataSet(kuairand.load, ("raw_dir",)),
    "obd": _DataSet(obd.load, ("raw_dir",)),
    "synthetic": _DataSet(_load_synthetic, ("rows", "users", "ads", "latent", "affinity", "seed")),
}


def prepare(flag_values: flags.FlagValues) -> None:
    """Runs the command with parsed flags.

    Raises:
      ValueError: If anything is wrong with the flags or the files.
    """
    output = Path(flag_values.output)
    check_replaceable(output, overwrite=flag_values.overwrite, made_of=FILE_NAME)
    exposures = read_exposures(flag_values)
    source = DATASETS[flag_values.dataset].load(**_arguments(flag_values))
    if flag_values["keep_positives"].present:
        label = flag_values.positives_of or source.schema.labels[0].name
        source = rare_positives(source, label=label, share=flag_values.keep_positives)
    elif flag_values.positives_of:
        raise UsageError("--positives_of has no effect without --keep_positives.")
    if source.notice:
        print(textwrap.fill(source.notice, width=100))
    if flag_values.graph:
        source = join_graph(source, directory=Path(flag_values.graph))
    schema = source.schema if exposures is None else exposed_schema(source.schema, exposures)
    building = Building(
        schema=schema,
        layout=flag_values.layout,
        compression=COMPRESSIONS[flag_values.compression],
        shards=flag_values.shards,
        workers=flag_values.workers,
        progress=flag_values.progress,
    )
    sources = Sources(
        bad_rows=BadRows(),
        optional=frozenset(() if exposures is None else schema.extras[-2:]),
        extras={} if exposures is None else exposure_extras(exposures),
    )
    with building.into(output, overwrite=flag_values.overwrite, sources=sources) as builder:
        for name, batches in source.splits.items():
            given = iter(batches())
            first = next(given, None)
            if exposures is not None and first is not None:
                check_exposable(first.schema.names, exposures, schema, source=f"--dataset={schema.name}")
            builder.rows.add_batches(name, itertools.chain([] if first is None else [first], given))
        if exposures is not None:
            print(add_exposures(builder.rows, exposures))
        written = builder.write(by_source(builder.rows))
    print(summary(written))


def _arguments(flag_values: flags.FlagValues) -> dict[str, Any]:
    name = flag_values.dataset
    takes = DATASETS[name].takes
    for flag in _OPTIONS:
        if flag_values[flag].present and flag not in takes:
            known = ", ".join(f"--{option}" for option in takes if option in _OPTIONS)
            raise UsageError(f"--{flag} has no effect with --dataset={name}, which takes {known}.")
    arguments = {flag: flag_values[flag].value for flag in takes if flag_values[flag].value is not None}
    if "raw_dir" in takes:
        arguments["raw_dir"] = Path(flag_values.raw_dir).expanduser() if flag_values.raw_dir else None
    return arguments


def run(argv: Sequence[str] | None = None) -> None:
    """Runs the command line."""
    flag_values = new_flags()
    at: dict[str, Any] = {"flag_values": flag_values}
    flags.DEFINE_enum("dataset", None, list(DATASETS), "What to write; see above.", required=True, **at)
    flags.DEFINE_string("output", None, "Directory to write.", required=True, **at)
    flags.DEFINE_string("raw_dir", None, "Folder with the files of the data set.", **at)
    flags.DEFINE_integer(
        "seed",
        None,
        "Of the split of census_income and hillstrom, and of synthetic. By default 0.",
        lower_bound=0,
        **at,
    )
    flags.DEFINE_integer("rows", None, "Impressions of synthetic. By default 200,000.", lower_bound=10, **at)
    flags.DEFINE_integer("users", None, "People of synthetic. By default 5,000.", lower_bound=1, **at)
    flags.DEFINE_integer("ads", None, "Ads of synthetic. By default 1,000.", lower_bound=40, **at)
    flags.DEFINE_integer("latent", None, "Dimensions of a person's interests in synthetic. By default 8.", 1, **at)
    flags.DEFINE_float("affinity", None, "Weight of interests in all tasks of synthetic. By default 1.", 0, **at)
    flags.DEFINE_list("tasks", None, "Labels of census_income. By default income,never_married,college.", **at)
    flags.DEFINE_integer("min_count", None, "Rarest category of criteo with a row of its own. By default 10.", 1, **at)
    flags.DEFINE_string(
        "graph",
        None,
        "Output of fullrank pretrain-graph on these records: adds its vectors of users and items as a pair, "
        "and leaves out the training rows whose clicks they know.",
        **at,
    )
    flags.DEFINE_float(
        "keep_positives", None, "Share of the positives to keep, in every split, for a study of sparse feedback.", **at
    )
    flags.DEFINE_string("positives_of", None, "Label that --keep_positives thins. By default the first.", **at)
    define_exposure_flags(flag_values)
    flags.DEFINE_enum("layout", "block", ["block", "example"], "Layout of the records.", **at)
    flags.DEFINE_enum("compression", "none", list(COMPRESSIONS), "Compression of the records.", **at)
    flags.DEFINE_integer(
        "shards",
        None,
        "Files per split. By default one per 100,000 examples, but at least four (fewer only below 3,001 examples).",
        lower_bound=1,
        **at,
    )
    flags.DEFINE_integer("workers", None, "Threads. By default one per core.", lower_bound=1, **at)
    flags.DEFINE_bool("overwrite", False, "Replace a data set that is in --output already.", **at)
    flags.DEFINE_bool("progress", True, "Show progress bars.", **at)
    run_command(lambda: prepare(flag_values), flag_values=flag_values, argv=argv)


if __name__ == "__main__":
    run()
