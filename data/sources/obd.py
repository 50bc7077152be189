"""Open Bandit Dataset, the small version: logged bandit feedback with the true probability of every action.

Origin: ZOZO, Inc.; Saito, Aihara, Matsutani, Narita 2020 (arXiv:2008.07146), CC BY 4.0; it comes inside the PyPI
package obp 0.4.1 (Apache-2.0).

Rows: 60,000 impressions on ZOZOTOWN, 24 to 30 November 2019: two policies (`random`, and `bts`, a Bernoulli Thompson
sampler) times three campaigns (`all`, `men`, `women` with 80, 34 and 46 items), 10,000 each. 287 clicks (.48 %): enough
to estimate the value of a policy, too few to train a ranking model on.

Split: global time order over all files, stable sort, 80/10/10. Segments `policy` and `campaign` distinguish the logs;
  an estimate uses the rows of one policy.

Leaks, decided:

* `propensity`, the probability that the policy showed the item at that position, belongs to the log and not to
  the world, so it is not a feature. It is a label of type `value` because a record has no other place for a number that
  is not an input: do not train on it. `policy` is not a feature for the same reason.
* Items are numbered from 0 in each campaign, so `item_id` is "campaign-number".
* `affinity` is the person's affinity to the item shown. `affinities` holds those to all items of the campaign, filled
  up with zeros to 80, so that a policy can be scored on items that were not shown.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from fullrank.data.schema.features import Feature, IdMap, Key, Label, Numeric, Sparse, Vector
from fullrank.data.schema.schema import Schema
from fullrank.data.sources.raw_files import find_file, read_delimited, required
from fullrank.data.sources.source import Source, by_position, divided

NOTICE: Final = (
    "Open Bandit Dataset: CC BY 4.0, cite Saito et al. 2020 (arXiv:2008.07146). It is for off-policy evaluation; with "
    "287 clicks in its small version it cannot train a ranking model."
)
POLICIES: Final = ("random", "bts")
ITEMS: Final = {"all": 80, "men": 34, "women": 46}
MOST_ITEMS: Final = max(ITEMS.values())
USER: Final = tuple(f"user_feature_{k}" for k in range(4))
ITEM: Final = tuple(f"item_feature_{k}" for k in range(4))


def load(*, raw_dir: Path | None) -> Source:
    """Reads every log of the Open Bandit Dataset that is there.

    Args:
      raw_dir: Folder with `{random,bts}/{all,men,women}/`, each with `<campaign>.csv` (or `.csv.gz`) and
        `item_context.csv`; any of the six suffice.

    Raises:
      ValueError: If no folder was given or a file is malformed.
      FileNotFoundError: If the folder holds none of the logs.
    """
    layout = "{random,bts}/{all,men,women}/<campaign>.csv[.gz]"
    directory = required(raw_dir, dataset="obd", holds=f"{layout} (PyPI obp 0.4.1, or research.zozo.com)")
    logs = [
        _read(directory / policy / campaign, policy, campaign)
        for policy in POLICIES
        for campaign in ITEMS
        if (directory / policy / campaign).is_dir()
    ]
    if not logs:
        raise FileNotFoundError(
            f"obd: found no {layout} in {directory}. Point --raw_dir to the folder that holds them."
        )
    table = pa.concat_tables(logs).combine_chunks()
    order = np.argsort(table["timestamp"].to_numpy(), kind="stable")
    table = table.take(pa.array(order))
    return Source(schema=_schema(), splits=divided(table, by_position(table.num_rows)), notice=NOTICE)


def _schema() -> Schema:
    features: tuple[Feature, ...] = (
        *(Sparse(name=name, side="user", dtype="bytes") for name in USER),
        Sparse(name="item_id", side="ad", dtype="bytes"),
        Numeric(name=ITEM[0], side="ad"),
        *(Sparse(name=name, side="ad", dtype="bytes") for name in ITEM[1:]),
        Numeric(name="affinity", side="context"),
        Vector(name="affinities", side="user", length=MOST_ITEMS),
        Sparse(name="campaign", side="context", dtype="bytes"),
        Sparse(name="position", side="context", ids=IdMap(kind="identity", size=4)),
        Sparse(name="hour", side="context", ids=IdMap(kind="identity", size=24)),
    )
    return Schema(
        name="obd",
        features=features,
        labels=(Label(name="click"), Label(name="propensity", type="value")),
        segments=(Key(name="policy", dtype="bytes"), Key(name="campaign", dtype="bytes")),
        time="timestamp",
        time_unit="ms",
    )


def _read(directory: Path, policy: str, campaign: str) -> pa.Table:
    text, whole, real = pa.string(), pa.int64(), pa.float32()
    path = find_file(directory, f"{campaign}.csv.gz", f"{campaign}.csv", dataset="obd")
    affinities = [f"user-item_affinity_{k}" for k in range(ITEMS[campaign])]
    types = {"timestamp": pa.timestamp("us", "UTC"), "item_id": whole, "position": whole, "click": real}
    types |= {"propensity_score": real} | dict.fromkeys(USER, text) | dict.fromkeys(affinities, real)
    log = read_delimited(path, types=types, delimiter=",", required=list(types))
    shown = log["item_id"].to_numpy()
    if shown.min() < 0 or shown.max() >= ITEMS[campaign]:
        raise ValueError(f"Cannot read {path}: items of {campaign} are 0 to {ITEMS[campaign] - 1}, not {shown.max()}.")
    items = _items(directory, campaign)
    vectors = np.zeros((log.num_rows, MOST_ITEMS), dtype=np.float32)
    for k, name in enumerate(affinities):
        vectors[:, k] = log[name].to_numpy()
    milliseconds = pc.divide(log["timestamp"].cast(pa.int64()), 1000)
    return pa.table(
        {
            **{name: log[name] for name in USER},
            "item_id": pc.binary_join_element_wise(campaign, log["item_id"].cast(text), "-"),
            **{name: items[name].take(pa.array(shown)) for name in ITEM},
            "affinity": vectors[np.arange(len(shown)), shown],
            "affinities": pa.FixedSizeListArray.from_arrays(pa.array(vectors.ravel()), MOST_ITEMS),
            "campaign": pa.repeat(campaign, log.num_rows),
            "position": log["position"],
            "hour": pc.hour(log["timestamp"]),
            "click": log["click"],
            "propensity": log["propensity_score"],
            "policy": pa.repeat(policy, log.num_rows),
            "timestamp": milliseconds,
        }
    )


def _items(directory: Path, campaign: str) -> pa.Table:
    """The item file, row k describing item k."""
    path = find_file(directory, "item_context.csv", dataset="obd")
    types = {"item_id": pa.int64(), ITEM[0]: pa.float32()} | dict.fromkeys(ITEM[1:], pa.string())
    items = read_delimited(path, types=types, delimiter=",", required=["item_id"]).sort_by("item_id")
    if items["item_id"].to_pylist() != list(range(ITEMS[campaign])):
        raise ValueError(f"Cannot read {path}: it must describe items 0 to {ITEMS[campaign] - 1}, each once.")
    return items
