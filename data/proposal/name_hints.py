"""Guesses the meaning of a column from its name. These are only suggestions: a person checks the schema."""

from __future__ import annotations

import re
from typing import Final

from fullrank.data.schema.features import Side

_ID: Final = frozenset({"id", "ids", "code", "codes", "key", "hash", "type", "kind", "category", "class", "zip"})
_TIME: Final = frozenset({"time", "times", "timestamp", "timestamps", "ts", "date", "dates", "datetime"})
_PART_OF_TIME: Final = frozenset({"hour", "day", "dt", "minute", "month", "week"})
_WEIGHTS: Final = frozenset({"weight", "weights"})
_WEIGHT_OF: Final = frozenset({"sample", "example", "instance", "importance"})
_USER: Final = frozenset({"user", "uid", "userid", "member", "customer", "visitor", "viewer", "buyer"})
_ABOUT_USER: Final = _USER | frozenset({"u", "age", "gender", "sex", "occupation", "income"})
_AD: Final = frozenset({
    "ad", "ads", "adgroup", "campaign", "creative", "advertiser", "brand", "seller", "item", "i", "product",
    "goods", "movie", "video", "song", "article",
})  # fmt: skip
_REQUEST: Final = frozenset({"request", "session", "query", "impression"})
_THING: Final = _AD | _USER | frozenset({
    "app", "ip", "device", "os", "channel", "city", "region", "country", "state", "site", "page", "domain",
    "publisher", "slot", "shop", "store", "author", "artist", "album", "tag", "keyword", "browser", "carrier",
    "placement", "banner", "genre", "department", "aisle", "course", "school", "hotel", "destination", "place",
    "cluster", "segment", "group",
})  # fmt: skip
_AMOUNT: Final = frozenset({
    "age", "amount", "price", "cost", "bid", "budget", "revenue", "sales", "income", "salary", "wage", "value",
    "count", "counts", "cnt", "num", "number", "n", "total", "sum", "avg", "mean", "max", "min", "quantity", "qty",
    "views", "visits", "clicks", "likes", "shares", "plays", "followers", "fans", "comments", "watch", "stock",
    "duration", "length", "len", "size", "width", "height", "depth", "distance", "area", "population", "year",
    "days", "hours", "minutes", "seconds", "weeks", "months", "ms", "sec", "tenure", "gap", "freq", "frequency",
    "score", "rate", "ratio", "share", "percent", "rating", "rank", "weight", "gain", "gains", "loss", "losses",
    "history",
})  # fmt: skip
_VERSION: Final = frozenset({"version", "versions", "release", "build", "ver"})
_OUTCOME: Final = frozenset({
    "click", "clicked", "like", "liked", "hate", "dislike", "follow", "followed", "comment", "commented", "forward",
    "share", "shared", "conversion", "converted", "purchase", "purchased", "buy", "bought", "install", "installed",
    "download", "downloaded", "subscribe", "subscribed", "order", "ordered", "label", "target", "outcome",
    "response", "stay", "dwell", "watched", "spend", "spent",
})  # fmt: skip
_PAST: Final = frozenset({
    "history", "hist", "seq", "sequence", "past", "last", "recent", "previous", "prev", "clicked", "viewed",
})  # fmt: skip


def tokens(name: str) -> tuple[str, ...]:
    """The words of a name: `userId`, `user_id` and `User-ID` are all `("user", "id")`."""
    spaced = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", name)
    return tuple(word.lower() for word in re.findall(r"[A-Za-z]+|[0-9]+", spaced))


def is_id(name: str) -> bool:
    """Whether whole numbers under this name probably identify things."""
    words = tokens(name)
    return bool(words) and (words[-1] in _ID or words[-1] in ("uid", "userid") or is_user(name))


def is_thing(name: str) -> bool:
    """Whether the name is that of a thing, so that numbers under it probably identify one."""
    words = tokens(name)
    return bool(words) and words[-1] in _THING


def is_amount(name: str) -> bool:
    """Whether numbers under this name probably measure something."""
    words = tokens(name)
    return bool(words) and (words[-1] in _AMOUNT or words[0] in {"num", "n", "count", "total", "avg", "mean"})


def is_outcome(name: str) -> bool:
    """Whether the name is that of something that a user does after seeing the row: another label, not a feature."""
    words = tokens(name)
    return any(word in _OUTCOME for word in words) or words[-2:] in (("long", "view"), ("profile", "enter"))


def is_version(name: str) -> bool:
    """Whether numbers under this name are versions, where 1.10 differs from 1.1."""
    return any(word in _VERSION for word in tokens(name))


def is_user(name: str) -> bool:
    """Whether the column probably identifies the user."""
    words = tokens(name)
    return len(words) <= 2 and bool(words) and words[0] in _USER and (len(words) == 1 or words[1] == "id")


def is_request(name: str) -> bool:
    """Whether the column probably identifies the request or session that several rows belong to."""
    words = tokens(name)
    return words == ("qid",) or (len(words) == 2 and words[0] in _REQUEST and words[1] in ("id", "hash"))


def is_time(name: str) -> bool:
    """Whether numbers under this name are probably times."""
    return any(word in _TIME for word in tokens(name))


def is_part_of_time(name: str) -> bool:
    """Whether the column probably says on which day, or in which hour, something happened."""
    return any(word in _PART_OF_TIME for word in tokens(name))


def is_sample_weight(name: str) -> bool:
    """Whether the column probably holds the weight of the example."""
    words = tokens(name)
    return words == ("weight",) or (len(words) == 2 and words[0] in _WEIGHT_OF and words[1] == "weight")


def is_weights_of_ids(name: str) -> bool:
    """Whether a list of numbers is probably the weights of another list."""
    return any(word in _WEIGHTS for word in tokens(name))


def is_past(name: str) -> bool:
    """Whether a list probably holds past behaviours."""
    return any(word in _PAST for word in tokens(name))


def subject(name: str) -> frozenset[str]:
    """The words that say what the values refer to: both `history_item_ids` and `item` refer to an item."""
    words = (word[:-1] if len(word) > 3 and word.endswith("s") else word for word in tokens(name))
    return frozenset(word for word in words if word not in _PAST | _ID | _TIME | _USER | {"list", "categorie"})


def side_of(name: str) -> Side:
    """The side that a column of this name describes, by its first word."""
    words = tokens(name)
    if words and words[0] in _ABOUT_USER:
        return "user"
    return "ad" if words and words[0] in _AD else "context"


def common_prefix(names: tuple[str, ...]) -> str:
    """The common prefix of all names, without trailing separators."""
    first, last = min(names), max(names)
    length = next((i for i, (a, b) in enumerate(zip(first, last, strict=False)) if a != b), min(len(first), len(last)))
    return first[:length].rstrip("_-. ")
