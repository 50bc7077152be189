"""How much each part of a model does on a batch: sizes, attention, gates, and shares of the prediction."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import tensorflow as tf

from fullrank.models.encoding.dense_inputs import elapsed_seconds
from fullrank.models.ranker import Ranker


def measure_parts(model: Ranker, batch: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
    """Measures of every part on one batch, scalars by name, without dropout.

    For part x, an output of B rows: `rms/x`, the root mean square of its entries, and `share/x`, its share of the sum
    over all parts of `a_x = mean |<dz_t/dx_b, x_b>|` over examples b and tasks t, z being the logits: to first order,
    how far predictions would move if x were zero. Parts are the fields of each set (`set0/fields/age`), the sequences
    and whatever else joins the interaction (`set0/history`).

    `attention/x`: entropy of a sequence's attention divided by log n, over examples with n > 1 behaviours; 1 is a plain
    mean, NaN says that there is no such example. `gate/t/e`: mean weight of expert e for tower t. `gate/t`: entropy of
    the weights of t's gate divided by the logarithm of the experts it may read; 1 for one that mixes evenly, NaN where
    there is one expert. `expert/e`: root mean square of an expert's output. `silent/e`: share of its units that are 0
    for all examples.
    """
    found: dict[str, tf.Tensor] = {}
    inputs = model.trunk.of_sets(batch)
    with tf.GradientTape(persistent=True, watch_accessed_variables=False) as tape:
        given = [part for pair in inputs.values() for part in pair if part is not None]
        tape.watch(given)
        mixed = model.trunk.mixed(inputs, training=False)
        logits = tf.unstack(model.logits_of(mixed, batch), axis=1)
    moved: dict[str, tf.Tensor] = {}
    for name, (fields, side) in inputs.items():
        read = model.trunk.inputs_of_sets[name]
        widths = (*[int(fields.shape[2])] * len(read.field_names), *read.side_widths)
        names = (*(f"{name}/fields/{field}" for field in read.field_names), *(f"{name}/{s}" for s in read.side_names))
        values = _side_by_side(fields, side)
        for place, each in enumerate(tf.split(values, widths, axis=1)):
            found[f"rms/{names[place]}"] = _rms(each)
        effects = []
        for logit in logits:
            slopes = [None if part is None else _slope(tape, logit, part) for part in (fields, side)]
            products = tf.split(_side_by_side(*slopes) * values, widths, axis=1)
            effects.append(tf.stack([tf.reduce_mean(tf.abs(tf.reduce_sum(p, axis=1))) for p in products]))
        moved.update(zip(names, tf.unstack(tf.add_n(effects)), strict=True))
    total = tf.add_n(list(moved.values()))
    found.update({f"share/{name}": tf.math.divide_no_nan(value, total) for name, value in moved.items()})
    found.update(_attention(model, batch))
    found.update(_mixture(model, mixed))
    return found


def _side_by_side(fields: tf.Tensor, side: tf.Tensor | None) -> tf.Tensor:
    """`[B, F d + m]`, in float32."""
    flat = tf.cast(tf.reshape(fields, (tf.shape(fields)[0], fields.shape[1] * fields.shape[2])), tf.float32)
    return flat if side is None else tf.concat([flat, tf.cast(side, tf.float32)], axis=1)


def _slope(tape: Any, logit: tf.Tensor, part: tf.Tensor) -> tf.Tensor:
    return tape.gradient(logit, part, unconnected_gradients=tf.UnconnectedGradients.ZERO)


def _rms(values: tf.Tensor) -> tf.Tensor:
    return tf.sqrt(tf.reduce_mean(tf.square(tf.cast(values, tf.float32))))


def _attention(model: Ranker, batch: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
    found = {}
    lookups, elapsed = model.trunk.encoder(batch), elapsed_seconds(batch, schema=model.schema)
    for name, read in model.trunk.inputs_of_sets.items():
        for sequence, (weights, mask) in read.attention(lookups, elapsed).items():
            found[f"attention/{name}/{sequence}"] = attention_spread(weights, mask)
    return found


def attention_spread(weights: tf.Tensor, mask: tf.Tensor) -> tf.Tensor:
    """Mean of entropy / log n over the examples with n > 1 behaviours; NaN if there are none.

    Args:
      weights: `[B, L]`, which sum to 1 where there are behaviours.
      mask: `[B, L]` bool, where there are.
    """
    number = tf.reduce_sum(tf.cast(mask, tf.float32), axis=1)
    entropy = -tf.reduce_sum(tf.math.xlogy(tf.cast(weights, tf.float32), tf.cast(weights, tf.float32)), axis=1)
    several = tf.boolean_mask(entropy, number > 1) / tf.math.log(tf.boolean_mask(number, number > 1))
    return tf.reduce_mean(several)


def _mixture(model: Ranker, mixed: Any) -> dict[str, tf.Tensor]:
    found = {}
    for place, spec in enumerate(model.wiring.experts):
        output = mixed.experts[:, place]
        found[f"expert/{spec.name}"] = _rms(output)
        silent = tf.reduce_all(tf.equal(output, tf.zeros([], output.dtype)), axis=0)
        found[f"silent/{spec.name}"] = tf.reduce_mean(tf.cast(silent, tf.float32))
    gates = model.trunk.mixture.weights_of(mixed.experts, mixed.means)
    entropy = -tf.reduce_sum(tf.math.xlogy(gates, gates), axis=2)
    for place, reader in enumerate(model.wiring.readers):
        names = model.trunk.mixture.read_experts
        readable = [expert for expert, access in zip(names, reader.access, strict=True) if access != "off"]
        most = math.log(len(readable)) if len(readable) > 1 else math.nan
        found[f"gate/{reader.task}"] = tf.reduce_mean(entropy[:, place]) / most
        for expert in readable:
            found[f"gate/{reader.task}/{expert}"] = tf.reduce_mean(gates[:, place, names.index(expert)])
    return found
