"""A generated ad log whose truth is known. It needs no download, and analyses can be checked against it.

Person u and ad i have latent vectors p_u (length sqrt(k), near the centre of one of `groups` hidden groups) and q_i
(length 1, near the centre of the ad's category). With s = sigmoid and b_* such that the mean rates are those asked for:

    click       ~ s(b_1 + w_a <p_u, q_i> + a_i + (2 g_u - 1) h_i + X[g_u, c_i] + Y[device_u, format_i] + Z[position]
                    + .3 sin(2 pi hour / 24) + exp(-((age_u - 30) / 8)^2) + w_n log(1 + I) - w_f F)
    like        ~ s(b_2 + w_a <p_u, q'_i> + .5 Z[position])
    conversion  ~ click * s(b_3 + w_a <p_u, q_i> - .5 (log price_i - 3))
    conversion_delay ~ exponential, its mean drawn for each ad (median 12 hours)

    I = sum over the last `history` browsed ads j of [c_j = c_i] exp(-(t - t_j) / interest_days)
    F = sum over earlier exposures of the same ad to the same person of exp(-(t - t_j) / fatigue_days)

What is planted, and which method it is for:

* Contradictory interests: for `contradictory_share` of the ads q'_i points to -q_i, else to q_i (with a little noise):
  pairs near in click are far in like. Segment `contradictory` marks the rows.
* Small fields: X (gender x category), Y (device x format), and h, which makes an ad's effect depend on a field of two
  values: the partner of low cardinality that flattens an embedding.
* Time: I decays by the age of a behaviour, and topics change every two days, so position alone is not enough.
* Exposure: `exposure_count` and `exposure_gap` (seconds) are in the records; F lowers their click rate.
* Delay: `conversion` says whether it ever came, `conversion_delay` when (seconds after the impression; missing without
  one). Nothing is censored: a study of delayed feedback hides what was not known yet.
* Creatives: the last `duplicate_share` of the ads are near-duplicates, with the truth of an original and almost its
  content vector, but an id that appears later. Key `creative` is the original's id, `content_bits` the HashID.
* Pretrained `user_vector` and `ad_vector`: p_u and q_i rotated into a space of their own, plus noise; their similarity
  is a noisy <p_u, q_i>.
* Hidden groups: segment `user_group`, never a feature.

Origin and licence: drawn by this module from `seed`; public domain. Rows: 200,000 unless told otherwise, 14 days.
Split: by time, 80/10/10. 30 % of the ads and 20 % of the people start within the log.

Leaks, decided: `true_*` columns hold the probabilities that the labels were drawn from. They are labels of type `value`
because a record has no other place for a number that is not an input: train on `click`, `like` and `conversion` only.
`true_conversion` is given a click.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from fullrank.data.content.sign_bits import hash_vectors
from fullrank.data.schema.features import (
    BehaviourColumn,
    Bits,
    Feature,
    IdMap,
    Key,
    Label,
    Numeric,
    Sequence,
    Sparse,
    Vector,
)
from fullrank.data.schema.schema import Schema
from fullrank.data.sources.source import Source, by_position, divided
from fullrank.data.sources.synthetic_events import Impressions, draw_impressions
from fullrank.data.sources.synthetic_world import (
    DEVICES,
    FORMATS,
    GENDERS,
    POSITIONS,
    SyntheticConfig,
    World,
    draw_world,
)

HASH_BITS: Final = 32


def load(*, config: SyntheticConfig | None = None) -> Source:
    """Draws the synthetic set.

    Args:
      config: Sizes, strengths and seed; `None` for the defaults.
    """
    config = config if config is not None else SyntheticConfig()
    world = draw_world(config)
    log = draw_impressions(world)
    splits = by_position(config.rows)
    table = _rows(world, log)
    for side, numbers in (("user", log.user), ("ad", log.ad)):
        new = ~np.isin(numbers, numbers[splits["train"]])
        table = table.append_column(f"{side}_is_new", pa.array(new.astype(np.int64)))
    return Source(schema=_schema(config), splits=divided(table, splits), notice=_ceiling(log, splits["test"]))


def _schema(config: SyntheticConfig) -> Schema:
    def small(name: str, size: int, side: Any) -> Sparse:
        return Sparse(name=name, side=side, ids=IdMap(kind="identity", size=size))

    length = config.vector_length
    features: tuple[Feature, ...] = (
        Sparse(name="user_id", side="user", ids=IdMap(min_count=5)),
        small("gender", GENDERS, "user"),
        small("device", DEVICES, "user"),
        Numeric(name="age", side="user"),
        Vector(name="user_vector", side="user", length=length, pair="ad_vector"),
        Sparse(name="ad_id", side="ad", ids=IdMap(min_count=5)),
        small("category", config.categories, "ad"),
        small("advertiser", config.advertisers, "ad"),
        small("format", FORMATS, "ad"),
        Numeric(name="price", side="ad"),
        Vector(name="content", side="ad", length=length),
        Bits(name="content_bits", side="ad", length=HASH_BITS),
        Vector(name="ad_vector", side="ad", length=length),
        small("position", POSITIONS, "context"),
        small("hour", 24, "context"),
        Numeric(name="exposure_count", side="context"),
        Numeric(name="exposure_gap", side="context"),
        Sequence(
            name="history",
            behaviour=(
                BehaviourColumn(name="history_ad", table="ad_id", target="ad_id"),
                BehaviourColumn(name="history_category", table="category", target="category"),
            ),
            times="history_time",
            max_length=config.history,
        ),
    )
    binary = tuple(Label(name=name) for name in ("click", "like", "conversion"))
    values = ("conversion_delay", "true_click", "true_like", "true_conversion")
    return Schema(
        name="synthetic",
        features=features,
        labels=(*binary, *(Label(name=name, type="value") for name in values)),
        keys=(Key(name="user_id"), Key(name="creative")),
        segments=tuple(Key(name=name) for name in ("user_is_new", "ad_is_new", "contradictory", "user_group")),
        time="timestamp",
        time_unit="s",
    )


def _rows(world: World, log: Impressions) -> pa.Table:
    user, ad = log.user, log.ad
    bits = hash_vectors(world.ad_content, bits=HASH_BITS, seed=0).astype(np.int64)
    offsets = pa.array(np.concatenate([[0], np.cumsum(log.history_length)]), pa.int32())

    def floats(values: Any) -> pa.Array:
        return pa.array(values.astype(np.float32), from_pandas=True)  # NaN becomes null

    def vectors(values: Any) -> pa.Array:
        missing = pa.array(np.isnan(values[:, 0]))
        flat = pa.array(np.nan_to_num(values).astype(np.float32).ravel())
        return pa.FixedSizeListArray.from_arrays(flat, values.shape[1], mask=missing)

    return pa.table(
        {
            "user_id": user,
            "gender": world.user_gender[user],
            "device": world.user_device[user],
            "age": floats(world.user_age[user]),
            "user_vector": vectors(world.user_vector[user]),
            "ad_id": ad,
            "category": world.ad_category[ad],
            "advertiser": world.ad_advertiser[ad],
            "format": world.ad_format[ad],
            "price": floats(world.ad_price[ad]),
            "content": vectors(world.ad_content[ad]),
            "content_bits": pa.FixedSizeListArray.from_arrays(pa.array(bits[ad].ravel()), HASH_BITS),
            "ad_vector": vectors(world.ad_vector[ad]),
            "position": log.position,
            "hour": log.time // 3600 % 24,
            "exposure_count": floats(log.exposure_count),
            "exposure_gap": floats(log.exposure_gap),
            "history_ad": pa.ListArray.from_arrays(offsets, pa.array(log.history_ad)),
            "history_category": pa.ListArray.from_arrays(offsets, pa.array(world.ad_category[log.history_ad])),
            "history_time": pa.ListArray.from_arrays(offsets, pa.array(log.history_time)),
            "click": floats(log.click),
            "like": floats(log.like),
            "conversion": floats(log.conversion),
            "conversion_delay": floats(log.conversion_delay),
            "true_click": floats(log.click_probability),
            "true_like": floats(log.like_probability),
            "true_conversion": floats(log.conversion_probability),
            "creative": world.ad_creative[ad],
            "contradictory": world.ad_contradicts[ad].astype(np.int64),
            "user_group": world.user_group[user],
            "timestamp": log.time,
        }
    )


def _ceiling(log: Impressions, test: npt.NDArray[np.int64]) -> str:
    """The scores of the true probabilities on the test rows: no model can be expected to do better."""
    # Imported here because it takes a second, which `prepare --help` need not wait for.
    from sklearn.metrics import log_loss, roc_auc_score

    parts = []
    chance = {"click": log.click_probability, "like": log.like_probability}
    chance["conversion"] = log.click_probability * log.conversion_probability
    for task, probability in chance.items():
        labels, predicted = getattr(log, task)[test], probability[test]
        if 0 < labels.sum() < len(labels):
            entropy = log_loss(labels, np.full(len(labels), labels.mean()))
            ne = log_loss(labels, predicted) / entropy
            parts.append(f"{task} AUC {roc_auc_score(labels, predicted):.4f}, NE {ne:.4f}")
    scores = "; ".join(parts) or "one class only"
    return f"Scores of the true probabilities on the test split, which no model can be expected to exceed: {scores}."
