"""Turns the clicks of train splits into files of vectors."""

from __future__ import annotations

import dataclasses
import datetime
from pathlib import Path
from typing import Any, Final

import numpy as np
import tf_keras as keras

from fullrank.data.files.write_aside import check_replaceable, written_aside
from fullrank.models.graph import BipartiteGraph, GraphSage, embed, train_graph, untrained_loss
from fullrank.trainers.graph.clicks import Clicks, Ints, number_ids, read_clicks
from fullrank.trainers.graph.config import PretrainGraphConfig
from fullrank.trainers.graph.vectors import inflation, write_vectors
from fullrank.trainers.run.run_directory import write_json
from fullrank.trainers.training.memory import keep_freed_memory

FILE_NAME: Final = "graph.json"


def pretrain_graph_run(config: PretrainGraphConfig) -> dict[str, Any]:
    """Reads clicks, trains, writes.

    Returns:
      What `graph.json` holds.

    Raises:
      FileExistsError: If the output exists and may not be replaced.
      ValueError: If clicks or columns are invalid.
    """
    keep_freed_memory()
    output = Path(config.output)
    check_replaceable(output, overwrite=config.overwrite, made_of=FILE_NAME)
    reading: dict[str, Any] = {"on_bad_record": config.on_bad_record, "max_bad_fraction": config.max_bad_fraction}
    everything = [read_clicks(domain, **reading) for domain in config.domains]
    if len({clicks.users.dtype for clicks in everything}) > 1:
        raise ValueError("--user: domains share users, but their ids are numbers in one domain and texts in another.")
    until = _until(config, everything)
    inside = [clicks.until(until) for clicks in everything]
    for domain, clicks in zip(config.domains, inside, strict=True):
        if not len(clicks.users):
            raise ValueError(f"{domain.data} has no row with {domain.label} = 1 up to {_shown(until)}.")

    user_ids, user_numbers = number_ids([clicks.users for clicks in inside])
    items = [number_ids([clicks.items]) for clicks in inside]
    graph = BipartiteGraph.from_clicks(
        [(user, numbers) for user, (_, (numbers,)) in zip(user_numbers, items, strict=True)],
        users=len(user_ids),
        items=[len(ids) for ids, _ in items],
    )
    keras.utils.set_random_seed(config.seed)
    model = GraphSage(graph.sizes, width=config.width)
    losses = train_graph(
        model,
        graph,
        epochs=config.epochs,
        batch_size=config.batch_size,
        shared_negatives=config.shared_negatives,
        neighbours=(config.neighbours[0], config.neighbours[1]),
        id_dropout=config.id_dropout,
        negatives=config.negatives,
        temperature=config.temperature,
        learning_rate=config.learning_rate,
        seed=config.seed,
    )
    vectors = embed(model, graph)
    later = _later(everything[0], until, user_ids, items[0][0])
    result = {
        "config": dataclasses.asdict(config),
        "until": None if until is None else until // everything[0].milliseconds,
        "users": len(user_ids),
        "items": [len(ids) for ids, _ in items],
        "edges": len(graph.edges),
        "losses": losses,
        "untrained_loss": untrained_loss(negatives=config.negatives),
        "told_apart": inflation(vectors, graph, later, seed=config.seed),
    }
    parts = np.split(vectors, np.cumsum(graph.sizes)[:-1])
    with written_aside(output, overwrite=config.overwrite, made_of=FILE_NAME) as aside:
        users = config.domains[0].user
        write_vectors(aside / "users.parquet", column=users, ids=user_ids, vectors=parts[0], until=until)
        for number, (domain, (ids, _)) in enumerate(zip(config.domains, items, strict=True), start=1):
            file = aside / ("items.parquet" if number == 1 else f"items_{number}.parquet")
            write_vectors(file, column=domain.item, ids=ids, vectors=parts[number], until=until)
        model.save(aside / "model.keras")
        write_json(result, aside / FILE_NAME)
    _report(result, output, until)
    return result


def _until(config: PretrainGraphConfig, everything: list[Clicks]) -> int | None:
    """The time of the newest click that the graph may hold, in milliseconds; `None` if there is no time.

    It is at most the end of the first domain's training clicks, so that another domain's records, which may be newer,
    do not reveal the time that the first domain is tested on.
    """
    first = everything[0].times
    without = [d.data for d, clicks in zip(config.domains, everything, strict=True) if clicks.times is None]
    if first is None or without:
        if config.until is not None or config.first_fraction < 1 or len(without) < len(everything):
            raise ValueError(
                f"{without[0]} has no time column, so the clicks before a time are unknown. --first_fraction=1 takes "
                "all training clicks if no domain has a time; similarities are then too high on training rows."
            )
        return None
    if config.until is not None:
        return min(config.until * everything[0].milliseconds, int(first.max()))
    last = max(int(np.ceil(config.first_fraction * len(first))), 1) - 1
    return int(np.partition(first, last)[last])


def _later(clicks: Clicks, until: int | None, user_ids: Any, item_ids: Any) -> tuple[Ints, Ints]:
    """Nodes of clicks after the graph's time whose user and item are both in the graph."""
    later = clicks.until(until, later=True)
    user, item = np.searchsorted(user_ids, later.users), np.searchsorted(item_ids, later.items)
    user, item = np.minimum(user, len(user_ids) - 1), np.minimum(item, len(item_ids) - 1)
    known = (user_ids[user] == later.users) & (item_ids[item] == later.items)
    return user[known], len(user_ids) + item[known]


def _shown(until: int | None) -> str:
    if until is None:
        return "the end of the train split"
    return datetime.datetime.fromtimestamp(until / 1000, datetime.UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def _report(result: dict[str, Any], output: Path, until: int | None) -> None:
    items, apart = sum(result["items"]), result["told_apart"]
    print(
        f"{output}: vectors of {result['users']:,} users and {items:,} items, from {result['edges']:,} edges up to "
        f"{_shown(until)}; loss {result['losses'][-1]:.4f}."
    )
    if apart["in_graph"] is not None and apart["later"] is not None:
        print(
            "A clicked item is nearer to its user than that of another click in "
            f"{apart['in_graph']:.1%} of pairs if the click is in the graph, in {apart['later']:.1%} if it is later."
        )
    if result["losses"][-1] > 0.99 * result["untrained_loss"]:
        print(
            f"Little was learned: the loss of equal cosines is {result['untrained_loss']:.4f}. Give more "
            "--epochs, or a smaller --batch_size."
        )
    if until is None:
        print("Every training click is in the graph, so similarities are too high on all training rows.")
    else:
        print(f"Similarities are too high on training rows up to {_shown(until)}: train on later ones.")
