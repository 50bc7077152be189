"""Mutations of records, as damage, other programs and attackers make them; every one is a function of a seed."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from typing import Any, Final

import numpy as np
import tensorflow as tf
from google.protobuf.message import DecodeError

from fullrank.data.records.wire_format import FIRST, LIST_TAG, SECOND, field, varint

Random = np.random.Generator
Tree = list[tuple[bytes, bytes]]
"""An example taken apart: name and serialized feature of each entry."""

_TELLING: Final = (0, 1, 2, 4, 8, 10, 18, 26, 127, 128, 129, 254, 255)
"""Bytes that are tags, or at the border of what a length of one byte holds."""
_HUGE: Final = (2**31 - 1, 2**31, 2**32 - 4, 2**32, 2**35, 2**63, 2**64 - 1)


def mutated(record: bytes, other: bytes, *, random: Random) -> bytes:
    """A record changed in one to three places; `other` lends pieces."""
    for _ in range(int(random.integers(1, 4))):
        kinds = (*_OF_BYTES, *_OF_TREES, *_OF_TREES)
        record = kinds[int(random.integers(len(kinds)))](record, other, random)
    return record


def _place(record: bytes, random: Random) -> int:
    return int(random.integers(len(record) + 1))


def _flip(record: bytes, other: bytes, random: Random) -> bytes:
    if not record:
        return other
    at = int(random.integers(len(record)))
    return record[:at] + bytes([record[at] ^ 1 << int(random.integers(8))]) + record[at + 1 :]


def _set(record: bytes, other: bytes, random: Random) -> bytes:
    at = _place(record, random)
    return record[:at] + bytes([int(random.choice(_TELLING))]) + record[at + 1 :]


def _truncate(record: bytes, other: bytes, random: Random) -> bytes:
    return record[: _place(record, random)]


def _remove(record: bytes, other: bytes, random: Random) -> bytes:
    at = _place(record, random)
    return record[:at] + record[at + int(random.integers(1, 20)) :]


def _insert(record: bytes, other: bytes, random: Random) -> bytes:
    at = _place(record, random)
    return record[:at] + random.bytes(int(random.integers(1, 12))) + record[at:]


def _repeat(record: bytes, other: bytes, random: Random) -> bytes:
    at = _place(record, random)
    return record[:at] + record[at : at + int(random.integers(1, 60))] + record[at:]


def _splice(record: bytes, other: bytes, random: Random) -> bytes:
    return record[: _place(record, random)] + other[_place(other, random) :]


def _join(record: bytes, other: bytes, random: Random) -> bytes:
    return record + (other if random.integers(2) else field(bytes([int(random.choice((8, 10, 18, 26, 122)))]), b"x"))


def _blow_up(record: bytes, other: bytes, random: Random) -> bytes:
    """A huge or needlessly long number in place of a byte."""
    at = _place(record, random)
    number = varint(int(random.choice(np.array(_HUGE, np.uint64)))) if random.integers(2) else b"\x80\x80\x80\x00"
    return record[:at] + number + record[at + 1 :]


def _noise(record: bytes, other: bytes, random: Random) -> bytes:
    return random.bytes(int(random.integers(0, 40))) if random.integers(8) == 0 else _set(record, other, random)


_OF_BYTES: Final = (_flip, _flip, _set, _truncate, _remove, _insert, _repeat, _splice, _join, _blow_up, _noise)


def _on_tree(change: Callable[[Tree, Tree, Random], Any]) -> Callable[[bytes, bytes, Random], bytes]:
    """A change of the features of an example, put together again with right lengths around it."""

    def on_bytes(record: bytes, other: bytes, random: Random) -> bytes:
        try:
            trees = [_taken_apart(each) for each in (record, other)]
        except (DecodeError, UnicodeDecodeError):
            return _flip(record, other, random)
        if not trees[0]:
            return _flip(record, other, random)
        change(trees[0], trees[1], random)
        return field(FIRST, b"".join(field(FIRST, field(FIRST, name) + field(SECOND, f)) for name, f in trees[0]))

    return on_bytes


def _taken_apart(record: bytes) -> Tree:
    features = tf.train.Example.FromString(record).features.feature
    # The order of protobuf's maps differs between processes.
    return [(name.encode(), features[name].SerializeToString(deterministic=True)) for name in sorted(features)]


def _drop(tree: Tree, other: Tree, random: Random) -> None:
    del tree[int(random.integers(len(tree)))]


def _twice(tree: Tree, other: Tree, random: Random) -> None:
    name, feature = tree[int(random.integers(len(tree)))]
    lent = dict(other).get(name, feature)
    tree.insert(int(random.integers(len(tree) + 1)), (name, lent if random.integers(2) else b""))


def _lend(tree: Tree, other: Tree, random: Random) -> None:
    """The feature of another row, or of another column."""
    at, source = int(random.integers(len(tree))), other or tree
    lent = dict(source).get(tree[at][0], b"") if random.integers(2) else source[int(random.integers(len(source)))][1]
    tree[at] = (tree[at][0], lent)


def _rename(tree: Tree, other: Tree, random: Random) -> None:
    at = int(random.integers(len(tree)))
    names = (b"", b"\xff\xfe", b"z" * 200, tree[at][0] + b"_", b"other")
    tree[at] = (names[int(random.integers(len(names)))], tree[at][1])


def _feature(tree: Tree, other: Tree, random: Random) -> None:
    """The bytes of one feature, changed within right lengths."""
    at = int(random.integers(len(tree)))
    change = _OF_BYTES[int(random.integers(len(_OF_BYTES)))]
    tree[at] = (tree[at][0], change(tree[at][1], tree[0][1], random))


def _list(tree: Tree, other: Tree, random: Random) -> None:
    """Another list than any of the rows has: of any kind, length and form."""
    at = int(random.integers(len(tree)))
    size = int(random.choice((0, 1, 2, 3, 5, 40, 200)))
    values = random.bytes(4 * size)
    packed = field(FIRST, values)
    forms = (
        field(LIST_TAG["float32"], packed),
        field(LIST_TAG["float32"], field(FIRST, values[:-1])),
        field(LIST_TAG["float32"], b"".join(b"\x0d" + values[i : i + 4] for i in range(0, len(values), 4))),
        field(LIST_TAG["float32"], FIRST + varint(int(random.choice(np.array(_HUGE, np.uint64)))) + values),
        field(LIST_TAG["int64"], field(FIRST, b"".join(varint(value) for value in values))),
        field(LIST_TAG["int64"], b"".join(b"\x08" + varint(value) for value in values)),
        field(LIST_TAG["int64"], field(FIRST, b"\xff" * 9 + (b"\x01" if size % 2 else b"\x7f\x01"))),
        field(LIST_TAG["bytes"], b"".join(field(FIRST, values[i : i + 4]) for i in range(0, len(values), 4))),
        field(LIST_TAG["bytes"], FIRST + varint(int(random.choice(np.array(_HUGE, np.uint64)))) + values),
        field(LIST_TAG["bytes"], packed) + field(LIST_TAG["int64"], field(FIRST, b"\x01")),
        b"",
    )
    tree[at] = (tree[at][0], forms[int(random.integers(len(forms)))])


def _number(tree: Tree, other: Tree, random: Random) -> None:
    """Raw little-endian numbers of a block, one of them another."""
    at = int(random.integers(len(tree)))
    parsed = tf.train.Feature.FromString(tree[at][1])
    if not parsed.bytes_list.value:
        return
    content = bytearray(parsed.bytes_list.value[0])
    if len(content) >= 4:
        place = int(random.integers(len(content) // 4)) * 4
        number = random.choice((0, 1, 2, 3, -1, -2, -(2**31), 2**31 - 1, 2**30))
        content[place : place + 4] = int(number).to_bytes(4, "little", signed=True)
    kept = bytes(content[: -int(random.choice((1, 4, 8)))] if random.integers(4) == 0 else content)
    cut = int(random.integers(len(kept) + 1))
    pieces = [kept[:cut], kept[cut:]] if random.integers(4) == 0 else [kept]
    tree[at] = (tree[at][0], field(LIST_TAG["bytes"], b"".join(field(FIRST, piece) for piece in pieces)))


def _nothing(tree: Tree, other: Tree, random: Random) -> None:
    del tree[int(random.integers(2)) :]


_OF_TREES: Final = tuple(map(_on_tree, (_drop, _twice, _lend, _rename, _feature, _feature, _list, _number, _nothing)))


def mutated_json(value: Any, *, random: Random) -> str:
    """The text of JSON values of which one to three are changed, or some of its characters."""
    value = json.loads(json.dumps(value))
    for _ in range(int(random.integers(1, 4))):
        holders = list(_holders(value))
        holder = holders[int(random.integers(len(holders)))]
        keys = list(holder) if isinstance(holder, dict) else list(range(len(holder)))
        if not keys:
            continue
        key = keys[int(random.integers(len(keys)))]
        action = int(random.integers(5))
        if action == 0:
            del holder[key]
        elif action == 1:
            other = holders[int(random.integers(len(holders)))]
            holder[key] = json.loads(json.dumps(other))
        elif action == 2 and isinstance(holder, dict):
            holder[str(random.choice(("name", "kind", "ids", "x", "")))] = holder.pop(key)
        elif action == 3 and isinstance(holder, list):
            holder.append(holder[key])
        else:
            # A copy, because later changes may reach into it.
            holder[key] = copy.deepcopy(_ODD[int(random.integers(len(_ODD)))])
    text = json.dumps(value)
    if random.integers(4) == 0:
        at = int(random.integers(len(text)))
        text = text[:at] + str(random.choice(("", '"', "}", "NaN", "1e999", "\\ud800", "\x00", "é"))) + text[at + 1 :]
    return text


_ODD: Final[tuple[Any, ...]] = (
    *(
        None,
        True,
        0,
        1,
        -1,
        2**31,
        2**63,
        10**30,
        0.5,
        1e308,
        "",
        "a",
        "item",
        "..",
        "/etc/x",
        "\ud800",
        "a\nb",
        "\x1b[0m",
    ),
    *([], {}, [[]], {"kind": "hash"}, [None], "hash", "int64", "sparse"),
)


def _holders(value: Any) -> Any:
    if isinstance(value, dict):
        yield value
        for item in value.values():
            yield from _holders(item)
    elif isinstance(value, list):
        yield value
        for item in value:
            yield from _holders(item)
