"""The encoders of behaviour sequences, by name ([Tencent] §3.1)."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Final, get_args

import tensorflow as tf

from fullrank.layers.legacy_keras import keras
from fullrank.layers.sequences.self_attention import SelfAttention
from fullrank.layers.sequences.target_attention import SequenceMean, TargetAttention
from fullrank.layers.sequences.temporal_interest import TemporalInterest
from fullrank.models.options import EncoderName, TimPart

TIM_PARTS: Final[tuple[TimPart, ...]] = get_args(TimPart)


@dataclasses.dataclass(frozen=True, kw_only=True)
class SequenceEncoder:
    """The encoder of one sequence of a model.

    Attributes:
      layer: Maps its inputs to `[B, d]`.
      reads: The arguments that the layer is called with, among `behaviours`, `target`, `mask` and `intervals`.
    """

    layer: keras.layers.Layer
    reads: tuple[str, ...]


def sequence_encoder(
    kind: EncoderName,
    *,
    without: Sequence[TimPart] = (),
    scale: float = 1.0,
    length: int,
    timed: bool,
    name: str,
) -> SequenceEncoder:
    """Builds the encoder of one sequence.

    Args:
      kind: `tim` (`TemporalInterest`), `din` (attention by an MLP), `self_attention` (a transformer block) or `mean`.
      without: Parts of `tim` to leave out.
      scale: Typical absolute value of an entry of a trained row, for `tim`.
      length: Largest number of behaviours.
      timed: Whether their times are known; `tim` leaves intervals out where they are not.
      name: Name of the layer.

    Raises:
      ValueError: If there is no such encoder or part, or parts are left out of an encoder other than `tim`.
    """
    if kind not in get_args(EncoderName):
        raise ValueError(f"Unknown sequence encoder {kind!r}. Known: {', '.join(get_args(EncoderName))}.")
    check_without(kind, without)
    if kind == "tim":
        return _tim(frozenset(without), scale, length, timed, name)
    return _ENCODERS[kind](length, name)


def encoded_requests(encoder: SequenceEncoder, inputs: Mapping[str, tf.Tensor], *, owner: tf.Tensor) -> tf.Tensor:
    """The encoded sequence of every example, from behaviours that are held once per request.

    An encoder without a target runs once per request, one with `of_requests` forms the behaviours once; the others read
    repeated behaviours.

    Args:
      encoder: What encodes it.
      inputs: What it reads: `target` `[B, d]`, the others `[R, L, ...]`.
      owner: The request of each example, `[B]`.

    Returns:
      `[B, d]`.
    """
    if "target" not in encoder.reads:
        return tf.gather(encoder.layer(*(inputs[name] for name in encoder.reads)), owner)
    if hasattr(encoder.layer, "of_requests"):
        encoded: tf.Tensor = encoder.layer.of_requests(*(inputs[name] for name in encoder.reads), owner=owner)
        return encoded
    repeated = {name: value if name == "target" else tf.gather(value, owner) for name, value in inputs.items()}
    return encoder.layer(*(repeated[name] for name in encoder.reads))


def check_without(kind: str, without: Sequence[str]) -> None:
    """Rejects parts to leave out that the encoder does not have.

    Raises:
      ValueError: If one is not a part of `tim` or is named twice, or the encoder is not `tim`.
    """
    if without and kind != "tim":
        raise ValueError(f"sequence_without={','.join(without)} has no effect with sequence={kind}: only tim has them.")
    if not set(without) <= set(TIM_PARTS) or len(set(without)) != len(without):
        raise ValueError(
            f"sequence_without takes different ones of {', '.join(TIM_PARTS)}. Received: {','.join(without)}."
        )


def _tim(without: frozenset[str], scale: float, length: int, timed: bool, name: str) -> SequenceEncoder:
    kept = {part: part not in without for part in TIM_PARTS}
    kept["interval"] = kept["interval"] and timed
    reads = ("behaviours", "target", "mask", *(("intervals",) if kept["interval"] else ()))
    return SequenceEncoder(layer=TemporalInterest(length, **kept, scale=scale, name=name), reads=reads)


def _din(length: int, name: str) -> SequenceEncoder:
    return SequenceEncoder(layer=TargetAttention(name=name), reads=("behaviours", "target", "mask"))


def _self_attention(length: int, name: str) -> SequenceEncoder:
    return SequenceEncoder(layer=SelfAttention(length, name=name), reads=("behaviours", "target", "mask"))


def _mean(length: int, name: str) -> SequenceEncoder:
    return SequenceEncoder(layer=SequenceMean(name=name), reads=("behaviours", "mask"))


_ENCODERS: Final[dict[str, Callable[[int, str], SequenceEncoder]]] = {
    "din": _din,
    "self_attention": _self_attention,
    "mean": _mean,
}
