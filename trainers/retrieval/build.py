"""Builds the towers that a configuration describes, and loads those of a run."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from fullrank.data.schema.schema import Schema
from fullrank.data.schema.value_rules import without_features
from fullrank.models.options.retrieval import RetrievalOptions, TowerOptions
from fullrank.models.options.setting import part_of
from fullrank.models.retrieval.pre_ranker import PreRanker
from fullrank.models.retrieval.two_tower import TwoTower
from fullrank.trainers.retrieval.catalogue import FILE, Catalogue, load_catalogue
from fullrank.trainers.retrieval.config import DistilConfig, PrerankConfig, RetrieveConfig, TowersConfig
from fullrank.trainers.run.run_directory import RunDirectory
from fullrank.trainers.run.weights import restore_best
from fullrank.trainers.training.memory import check_tables_fit


@dataclasses.dataclass(frozen=True)
class LoadedTowers:
    """A retrieval run with its model.

    Attributes:
      directory: Where it lies.
      config: What it was told.
      schema: Schema of the data it was trained on, with the features that it reads; its directory is the run's own.
      model: With the best weights and the catalogue of the run; not compiled.
    """

    directory: RunDirectory
    config: RetrieveConfig
    schema: Schema
    model: TwoTower


def build_towers(
    config: TowersConfig | DistilConfig, schema: Schema, *, catalogue: Catalogue, seed: int = 0
) -> TwoTower:
    """Builds the model with all its weights.

    Args:
      config: Which towers.
      schema: Schema of the data or of the run, without the features that are left out.
      catalogue: The ads.
      seed: Seed of the ads that are drawn as negatives.

    Raises:
      ValueError: If the configuration does not fit the schema, or the tables do not fit into memory.
    """
    check_tables_fit(schema, widths=config.widths)
    if isinstance(config, RetrievalOptions):
        options = part_of(config, of=RetrievalOptions)
    else:
        options = RetrievalOptions(**dataclasses.asdict(part_of(config, of=TowerOptions)))
    return TwoTower(schema, options, catalogue=catalogue, seed=seed)


def load_towers(path: str | Path) -> LoadedTowers:
    """Loads a run, finished or still training; needs nothing but its directory.

    Raises:
      ValueError: If there is no such run, or it has no weights yet.
    """
    directory = RunDirectory(path, config_class=RetrieveConfig)
    config = directory.config_of(RetrieveConfig)
    schema = without_features(directory.schema(), config.retrieval.without_features)
    catalogue = load_catalogue(directory.path / FILE, schema=schema)
    model = build_towers(config.retrieval, schema, catalogue=catalogue, seed=config.train.seed)
    restore_best(model, directory.best)
    return LoadedTowers(directory, config, schema, model)


@dataclasses.dataclass(frozen=True)
class LoadedPreRanker:
    """A pre-ranking run with its model.

    Attributes:
      directory: Where it lies.
      config: What it was told.
      model: With the best weights and the catalogue of the run; not compiled.
    """

    directory: RunDirectory
    config: PrerankConfig
    model: PreRanker


def build_pre_ranker(config: PrerankConfig, towers: TwoTower) -> PreRanker:
    """The pre-ranker of a configuration, on its towers."""
    own = config.prerank
    return PreRanker(
        towers,
        hidden=own.meeting,
        candidates=own.candidates,
        temperature=own.teacher_temperature,
        seed=config.train.seed,
    )


def load_pre_ranker(path: str | Path) -> LoadedPreRanker:
    """Loads a run, finished or still training; needs nothing but its directory.

    Raises:
      ValueError: If there is no such run, or it has no weights yet.
    """
    directory = RunDirectory(path, config_class=PrerankConfig)
    config = directory.config_of(PrerankConfig)
    schema = without_features(directory.schema(), config.prerank.without_features)
    catalogue = load_catalogue(directory.path / FILE, schema=schema)
    towers = build_towers(config.prerank, schema, catalogue=catalogue, seed=config.train.seed)
    model = build_pre_ranker(config, towers)
    restore_best(model, directory.best)
    return LoadedPreRanker(directory, config, model)
