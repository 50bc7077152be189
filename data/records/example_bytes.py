"""Checks the bytes of a `tf.train.Example` in a graph, before TensorFlow's parser sees them.

`tf.io.parse_example` trusts its input: it reads bytes that are not an example as an example without features, and a
list that claims more bytes than its record has can end the process. So records of both layouts, and requests, are
checked here first. A good record has the form in which every protocol buffer library writes an example:

* a record is one field `features`; an empty record is not an example;
* `features` is entries of a name and a feature, each once and in this order. Of two with one name the last counts;
* a feature is empty, or one list: of byte strings, packed 32-bit floats or packed integers. If one is empty, no name
may occur twice, because parsers differ in whether an empty feature counts as the last;
* every length takes as few bytes as it can, and there is nothing before, between or after.

Whatever else protocol buffers allow (numbers that are not packed, messages in several pieces, unknown fields such as
the feature lists of a `tf.train.SequenceExample`) makes a bad record, because parsers differ in what they read there.
The values of lists are left to TensorFlow's parser, which refuses integers that are cut off.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import tensorflow as tf

_PLACES: Final = 1 << 22
"""Strings decoded at once, padding included: `decode_proto` pads every message to the longest, whatever that is."""
_SMALLEST_ENTRY: Final = 6
_SMALLEST_STRING: Final = 2
_VARINT: Final = 5
"""Bytes of the longest length; a message has less than 2^31 bytes."""
_FEATURES, _NAME, _FEATURE, _PACKED = 0x0A, 0x0A, 0x12, 0x0A
_BYTES, _FLOATS, _INTEGERS = 0x0A, 0x12, 0x1A
# The eight bytes from the feature of a short entry, as a little-endian number: tag and length of the feature, tag and
# length of its list, tag and length of the packed values. Each length is the one before it minus 2.
_SHORT: Final = _FEATURE + (-2 << 24) + (_PACKED << 32) + (-4 << 40)
_SHORT_LENGTH: Final = (1 << 8) + (1 << 24) + (1 << 40)


def feature_counts(serialized: tf.Tensor) -> tf.Tensor:
    """How many features each record has, whatever they are.

    Args:
      serialized: Records `[B]`.

    Returns:
      int32 `[B]`, -1 for bytes that do not have the form of an example. Where the features cannot be a message at all,
      `tf.errors.DataLossError` is raised instead.
    """
    return _in_pieces(serialized, _feature_counts, smallest=_SMALLEST_ENTRY)


def checked_examples(serialized: tf.Tensor, *, features: int | None = None) -> tf.Tensor:
    """The same records; stops a graph at one that does not have the form of an example.

    Args:
      serialized: Records `[B]`.
      features: How many features each must have; `None` for any number.
    """
    counts = _counts_in_graph()(serialized)
    good = counts >= 0 if features is None else counts == features
    first_bad = tf.reduce_sum(tf.math.cumprod(tf.cast(good, tf.int32)))
    message = "fullrank: bytes that are not a tf.train.Example in the form that writers give it, at position"
    with tf.control_dependencies([tf.debugging.Assert(tf.reduce_all(good), [message, first_bad])]):
        return tf.identity(serialized)


def counts_at_once(records: Sequence[bytes]) -> npt.NDArray[np.int32]:
    """The `feature_counts` of records in memory, `[B]`."""
    counts: npt.NDArray[np.int32] = _counts_in_graph()(tf.constant(records, tf.string)).numpy()
    return counts


def is_example(record: bytes) -> bool:
    """Whether a record has the form of an example."""
    try:
        return bool(counts_at_once([record])[0] >= 0)
    except tf.errors.DataLossError:
        return False


# Traced once in a process, since several pipelines and the checks of first records call it.
@functools.cache
def _counts_in_graph() -> Any:
    return tf.function(feature_counts, input_signature=[tf.TensorSpec([None], tf.string)], autograph=False)


def checked_names(serialized: tf.Tensor, *, names: Iterable[str]) -> tf.Operation:
    """Stops a graph at an example that has none of the features named.

    Args:
      serialized: Examples `[B]` that have passed `checked_examples`.
      names: Names of features.
    """
    known = tuple(names)

    def have_any(examples: tf.Tensor) -> tf.Tensor:
        _, (features,) = tf.io.decode_proto(examples, "tensorflow.Example", ["features"], [tf.string])
        _, (entries,) = tf.io.decode_proto(features[:, 0], "tensorflow.Features", ["feature"], [tf.string])
        _, (keys,) = tf.io.decode_proto(entries, "tensorflow.Features.FeatureEntry", ["key"], [tf.string])
        present = tf.strings.length(entries) > 0
        found = present & functools.reduce(tf.logical_or, (keys[..., 0] == name for name in known))
        return tf.cast(tf.reduce_any(found, axis=1), tf.int32)

    good = _in_pieces(serialized, have_any, smallest=_SMALLEST_ENTRY) > 0
    message = "fullrank: an example that has none of the columns that are read"
    return tf.debugging.Assert(tf.reduce_all(good), [message])


def _in_pieces(strings: tf.Tensor, look: Callable[[tf.Tensor], tf.Tensor], *, smallest: int) -> tf.Tensor:
    """Processes so few strings at a time that decoding their parts, of `smallest` bytes or more, takes bounded memory.

    Args:
      strings: `[N]`.
      look: From strings `[n]`, at least one, to int32 `[n]`.
      smallest: Bytes of the smallest part.
    """
    number = tf.size(strings)
    most_parts = tf.maximum(tf.reduce_max(tf.strings.length(strings)) // smallest, 1)
    at_once = tf.maximum(_PLACES // most_parts, 1)

    def piece(start: tf.Tensor, found: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        return start + at_once, tf.concat([found, look(strings[start : start + at_once])], axis=0)

    _, found = tf.while_loop(
        lambda start, _: start < number,
        piece,
        (tf.constant(0), tf.zeros([0], tf.int32)),
        shape_invariants=(tf.TensorShape([]), tf.TensorShape([None])),
        parallel_iterations=1,
    )
    return found


def _feature_counts(serialized: tf.Tensor) -> tf.Tensor:
    tag, start, end = _field(serialized, tf.zeros_like(tf.strings.length(serialized), tf.int64))
    whole_record = tf.cast(tf.strings.length(serialized), tf.int64)
    framed = (tag == _FEATURES) & (end == whole_record)
    features = _from(serialized, tf.where(framed, start, whole_record))
    counts, (entries,) = tf.io.decode_proto(features, "tensorflow.Features", ["feature"], [tf.string])
    sizes, lengths = tf.strings.length(features), tf.strings.length(entries)
    flat, flat_lengths = tf.reshape(entries, [-1]), tf.reshape(lengths, [-1])
    # Nearly all entries are short. The others are checked more closely; padding has length 0.
    rest = tf.where((flat_lengths > 0) & ~_are_short_entries(flat, flat_lengths))[:, 0]
    good, extra = tf.cond(
        tf.size(rest) > 0,
        lambda: _closely(entries, tf.gather(flat, rest), tf.cast(rest, tf.int32) // tf.shape(entries)[1]),
        lambda: (tf.ones_like(sizes, tf.bool), tf.zeros_like(sizes)),
    )
    none_empty = tf.math.count_nonzero(lengths, axis=1, dtype=tf.int32) == counts[:, 0]
    whole = tf.reduce_sum(lengths, axis=1) + 2 * counts[:, 0] + extra == sizes
    return tf.where(good & none_empty & whole & framed, counts[:, 0], -1)


def _are_short_entries(entries: tf.Tensor, lengths: tf.Tensor) -> tf.Tensor:
    """Whether entries `[N]` are good, at most 127 bytes long, and have a list of numbers or of a single string."""
    begin = tf.cast(tf.io.decode_raw(entries, tf.uint16, fixed_length=2)[:, 0], tf.int32)
    start = tf.minimum(2 + tf.bitwise.right_shift(begin, 8), lengths)
    length = tf.cast(lengths - start - 2, tf.int64)
    tail = tf.strings.substr(entries, start, tf.fill(tf.shape(start), 6))
    kind = tf.io.decode_raw(tail, tf.int64, fixed_length=8)[:, 0] - _SHORT - length * _SHORT_LENGTH
    floats = (kind == _FLOATS << 16) & (length & 3 == 0)
    good = floats | (kind == _INTEGERS << 16) | (kind == _BYTES << 16)
    return good & (begin & 255 == _NAME) & (lengths < 128)


def _closely(entries: tf.Tensor, rest: tf.Tensor, records: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Looks at entries `rest` `[N]` of the records `[N]` among those of all `[B, F]`.

    Returns:
      For each record, whether they are good, and how many bytes their lengths take beyond one each: `[B]`.
    """
    good, empty = _are_entries(rest)
    extra = _varint_size(tf.strings.length(rest)) - 1
    bad, emptied, more = (
        tf.math.unsorted_segment_sum(tf.cast(values, tf.int32), records, tf.shape(entries)[0])
        for values in (~good, empty, extra)
    )
    suspect = tf.where(emptied > 0)
    once = tf.cond(
        tf.size(suspect) > 0,
        lambda: tf.tensor_scatter_nd_update(bad == 0, suspect, _named_once(tf.gather_nd(entries, suspect))),
        lambda: bad == 0,
    )
    return once & (bad == 0), more


def _named_once(entries: tf.Tensor) -> tf.Tensor:
    """Whether no two entries of a row `[N, F]`, padded with empty strings, have one name."""
    _, (names,) = tf.io.decode_proto(entries, "tensorflow.Features.FeatureEntry", ["key"], [tf.string])
    present = tf.where(tf.strings.length(entries) > 0)
    found = tf.strings.join([tf.strings.as_string(present[:, 0]), tf.gather_nd(names[..., 0], present)], ":")
    _, first, counts = tf.unique_with_counts(found)
    repeated = tf.cast(tf.gather(counts, first) > 1, tf.int32)
    return tf.math.unsorted_segment_sum(repeated, present[:, 0], tf.shape(entries)[0]) == 0


def _are_entries(entries: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Whether entries `[N]` of any length are good, and whether their feature is empty."""
    whole = tf.cast(tf.strings.length(entries), tf.int64)
    name, _, name_end = _field(entries, tf.zeros_like(whole))
    feature, feature_start, feature_end = _field(entries, name_end)
    kind, list_start, list_end = _field(entries, feature_start)
    packed, values_start, values_end = _field(entries, list_start)
    framed = (name == _NAME) & (feature == _FEATURE) & (feature_end == whole)
    is_list = framed & (list_end == whole) & ((kind == _BYTES) | (kind == _FLOATS) | (kind == _INTEGERS))
    one_field = (packed == _PACKED) & (values_end == whole)
    whole_numbers = (kind != _FLOATS) | ((whole - values_start) % 4 == 0)
    empty = framed & (feature_start == whole)
    good = empty | is_list & ((list_start == whole) | one_field & whole_numbers)
    # Lists of several byte strings.
    several = tf.where(is_list & (kind == _BYTES) & ~good)
    lists = _from(tf.gather_nd(entries, several), tf.gather_nd(list_start, several))
    found = _in_pieces(lists, _are_strings, smallest=_SMALLEST_STRING) > 0
    return tf.tensor_scatter_nd_update(good, several, found), empty


def _are_strings(lists: tf.Tensor) -> tf.Tensor:
    """1 for each message `[N]` that is a list of byte strings and nothing else, 0 for others."""
    counts, (strings,) = tf.io.decode_proto(lists, "tensorflow.BytesList", ["value"], [tf.string])
    present = tf.sequence_mask(counts[:, 0], tf.shape(strings)[1])
    held = tf.where(present, _field_size(tf.strings.length(strings)), 0)
    return tf.cast(tf.reduce_sum(held, axis=1) == tf.strings.length(lists), tf.int32)


def _field(strings: tf.Tensor, start: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """The field that begins at `start` of each string `[N]`: its tag, and the begin and end of its content, int64.

    The tag is -1 where the length is not encoded in the fewest bytes.
    """
    head = tf.cast(tf.io.decode_raw(_from(strings, start, 1 + _VARINT), tf.uint8, fixed_length=1 + _VARINT), tf.int64)
    tag, groups = head[:, 0], head[:, 1:]
    follows = tf.math.cumprod(tf.cast(groups >= 128, tf.int64), axis=1)
    size = 1 + tf.reduce_sum(follows, axis=1)
    counts = tf.concat([tf.ones_like(follows[:, :1]), follows[:, :-1]], axis=1)
    places = tf.constant([1 << bits for bits in range(0, 7 * _VARINT, 7)], tf.int64)
    length = tf.reduce_sum(counts * (groups & 127) * places, axis=1)
    shortest = (size <= _VARINT) & (size == _varint_size(length))
    content = start + 1 + size
    return tf.where(shortest, tag, -1), content, content + length


def _from(strings: tf.Tensor, start: tf.Tensor, length: int = 2**31 - 1) -> tf.Tensor:
    """The rest of each string from `start`, which may be beyond its end."""
    start = tf.minimum(start, tf.cast(tf.strings.length(strings), tf.int64))
    return tf.strings.substr(strings, start, tf.fill(tf.shape(start), tf.constant(length, tf.int64)))


def _field_size(length: tf.Tensor) -> tf.Tensor:
    """Bytes of a field whose content has this length."""
    return 1 + _varint_size(length) + length


def _varint_size(value: tf.Tensor) -> tf.Tensor:
    """Bytes that a number below 2^31 takes."""
    return 1 + tf.add_n([tf.cast(value >= 1 << bits, value.dtype) for bits in range(7, 7 * _VARINT, 7)])
