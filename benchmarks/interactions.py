"""The cost of the experts' interactions in training: by fields, and compared with the layers users would take instead.

* Every expert: examples per second, forward and backward down to the embeddings, and bytes per example that its
  activations take (peak of memory over batch size, in separate processes). 40 fields of width 16, batches of 2,048;
  FFM has rows of width 40 there, and the group layout of GwPFM is the paper's: two parts, the ad's fields a quarter of
  all and one group, the others in 20 groups.
* The same layer of TFRS and DeepCTR where they have it, alone like ours. DeepCTR 0.9.3 does not import on a current
  TensorFlow; its file of interactions does. `pip install --no-deps deepctr==0.9.3`, or it is left out.
* GwPFM at 100 fields: seconds to build and trace, and time of a step over a flat DNN (128, 64) of the same output
  width; time of a step at 25 to 400 fields over that at 100.
"""

from __future__ import annotations

import functools
import importlib
import importlib.util
import json
import os
import sys
import time
import types
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Any, Final

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import tensorflow as tf
import tf_keras as keras
import tqdm

import report
from fullrank import layers
from fullrank.layers.legacy_keras import tfrs
from fullrank.models.encoding.field_layout import FieldLayout
from fullrank.models.interactions import INTERACTIONS, build_interaction
from fullrank.models.options import InteractionOptions

FIELDS: Final = 40
WIDTH: Final = 16
BATCH: Final = 2048
OUTPUT: Final = 64
GROUPS: Final = 20
MANY: Final = (25, 50, 200, 400)
SMALL_BATCH: Final = 512


def layout(fields: int) -> FieldLayout:
    """The paper's: a quarter of the fields are the ad's, one part and one group; the others are in up to 20 groups."""
    ads = fields // 4
    others = fields - ads
    groups = [field * min(GROUPS, others) // others for field in range(others)]
    return FieldLayout(
        names=tuple(f"field{field}" for field in range(fields)),
        parts=(0,) * others + (1,) * ads,
        groups=(*groups, *(max(groups) + 1,) * ads),
    )


def embeddings(kind: str, *, batch: int, fields: int = FIELDS) -> tf.Tensor:
    """Fields as an embedding set would give them."""
    width = fields if kind == "ffm" else WIDTH
    return tf.random.stateless_normal([batch, fields, width], (1, fields))


def expert(kind: str, *, fields: int = FIELDS) -> keras.layers.Layer:
    """An expert of the given interaction, with the options that the trainer has by default."""
    interaction = build_interaction(kind, options=InteractionOptions(), layout=layout(fields))
    return layers.Expert(interaction, OUTPUT)


def step(layer: Callable[[tf.Tensor], tf.Tensor], fields: tf.Tensor) -> Callable[[], float]:
    """A function that runs a forward and a backward pass, to the weights and to the embeddings."""
    layer(fields)
    weights = layer.trainable_variables if isinstance(layer, tf.Module) else []

    @tf.function
    def run() -> tf.Tensor:
        with tf.GradientTape() as tape:
            tape.watch(fields)
            loss = tf.reduce_sum(tf.square(layer(fields)))
        found = tape.gradient(loss, [fields, *weights])
        return tf.add_n([tf.reduce_sum(tf.convert_to_tensor(each)[:1]) for each in found])

    return lambda: float(run())


def experts(rounds: int, *, weighed: Collection[str]) -> Iterator[report.Row]:
    """Speed of every expert, the flat one as the reference, and the bytes that an example takes, of those `weighed`."""
    flat = step(expert("flat"), embeddings("flat", batch=BATCH))
    for kind in INTERACTIONS:
        timing = report.alternate(step(expert(kind), embeddings(kind, batch=BATCH)), flat, rounds=rounds)
        yield report.compare(
            name=f"expert {kind} / flat",
            ours=timing.ours.rate(BATCH),
            reference=timing.reference.rate(BATCH),
            unit="examples/s",
        )
        if kind not in weighed:
            continue
        peaks = {batch: _peak(kind, batch) for batch in (SMALL_BATCH, 4 * BATCH)}
        taken = (peaks[4 * BATCH] - peaks[SMALL_BATCH]) / (4 * BATCH - SMALL_BATCH)
        yield report.compare(name=f"expert {kind}", ours=report.Sample((taken,)), reference=None, unit="bytes/example")


def _peak(kind: str, batch: int) -> float:
    size = list(INTERACTIONS).index(kind) * 100_000 + batch
    return report.in_child(__file__, size)["peak"]


def child(size: int) -> None:
    """Prints the peak of memory after steps of one expert; kind and batch are folded into one number."""
    number, batch = divmod(size, 100_000)
    kind = list(INTERACTIONS)[number]
    run = step(expert(kind), embeddings(kind, batch=batch))
    for _ in range(3):
        run()
    print(json.dumps({"peak": float(report.peak_memory())}))


def others(rounds: int) -> Iterator[report.Row]:
    """Our layers against the same ones of other libraries."""
    for name, ours, theirs in _pairs():
        fields = embeddings("", batch=BATCH)
        timing = report.alternate(step(ours, fields), step(theirs, fields), rounds=rounds)
        yield report.compare(
            name=name, ours=timing.ours.rate(BATCH), reference=timing.reference.rate(BATCH), unit="examples/s"
        )


def _pairs() -> Iterator[tuple[str, Any, Any]]:
    dot = tfrs.layers.feature_interaction.DotInteraction()
    yield (
        "dlrm / TFRS DotInteraction",
        layers.InnerProduct(linear=False),
        _Called(dot, lambda fields: tf.unstack(fields, axis=1)),
    )
    interaction = _deepctr()
    if interaction is None:
        return

    def apart(fields: tf.Tensor) -> list[tf.Tensor]:
        parts: list[tf.Tensor] = tf.split(fields, FIELDS, axis=1)
        return parts

    def beside(fields: tf.Tensor) -> tf.Tensor:
        return tf.reshape(fields, (-1, FIELDS * WIDTH))

    maps = (32, 32)
    yield "fm / DeepCTR FM", layers.FactorizationMachine(), interaction.FM()
    yield "fwfm / DeepCTR FwFMLayer", layers.FieldWeightedFM(), interaction.FwFMLayer(FIELDS, 0.0)
    yield "fmfm / DeepCTR FEFMLayer", layers.FieldPairProjection(), interaction.FEFMLayer(0.0)
    ipnn, opnn = interaction.InnerProductLayer(), interaction.OutterProductLayer()
    yield "ipnn / DeepCTR InnerProductLayer", layers.InnerProduct(linear=False), _Called(ipnn, apart)
    yield "opnn / DeepCTR OutterProductLayer", layers.OuterProduct(linear=False), _Called(opnn, apart)
    cross = interaction.CrossNet(3, parameterization="matrix")
    yield "crossnet / DeepCTR CrossNet", layers.CrossNetV2(3), _Called(cross, beside)
    cin = interaction.CIN(maps, activation="linear", split_half=False)
    yield "cin / DeepCTR CIN", layers.CompressedInteraction(maps), cin
    attention = interaction.InteractingLayer(WIDTH, head_num=2, scaling=True)
    yield "autoint / DeepCTR InteractingLayer", layers.FieldAttention(1, heads=2, width=WIDTH), attention


class _Called(tf.Module):
    """A layer that takes the fields in another form."""

    def __init__(self, layer: keras.layers.Layer, form: Callable[[tf.Tensor], Any]) -> None:
        super().__init__()
        self.layer, self.form = layer, form

    def __call__(self, fields: tf.Tensor) -> tf.Tensor:
        return self.layer(self.form(fields))


def _deepctr() -> Any:
    """DeepCTR's module of interactions, without the rest of the package, or `None` if it is not installed."""
    found = importlib.util.find_spec("deepctr")
    if found is None or not found.submodule_search_locations:
        return None
    root = found.submodule_search_locations[0]
    for name, path in (("deepctr", root), ("deepctr.layers", os.path.join(root, "layers"))):
        package = types.ModuleType(name)
        package.__path__ = [path]
        sys.modules[name] = package
    return importlib.import_module("deepctr.layers.interaction")


def grouped(rounds: int, *, others: Sequence[int]) -> Iterator[report.Row]:
    """GwPFM at 100 fields, and what a field costs at `others`."""
    fields = embeddings("gwpfm", batch=BATCH, fields=100)
    start = time.perf_counter()
    run = step(expert("gwpfm", fields=100), fields)
    run()
    traced = report.Sample((time.perf_counter() - start,))
    yield report.compare(
        name="gwpfm, 100 fields: build, trace and first step / 2 s",
        ours=traced,
        reference=report.Sample((2.0,)),
        unit="s",
        goal="<= 1",
    )
    for name, units, goal in (("flat DNN (128, 64)", (128, 64), "<= 1.5"), ("one dense layer (64)", (), "")):
        flat = step(layers.Expert(layers.FlatDNN(units), OUTPUT), fields)
        timing = report.alternate(run, flat, rounds=rounds)
        yield _times(f"gwpfm / {name}, 100 fields", timing, goal)
    for number in others:
        other = step(expert("gwpfm", fields=number), embeddings("gwpfm", batch=BATCH, fields=number))
        timing = report.alternate(other, run, rounds=rounds)
        yield _times(f"gwpfm, {number} fields / 100 fields, {number / 100:g} times as many", timing, "")


def _times(name: str, timing: report.Timing, goal: str) -> report.Row:
    return report.compare(
        name=name,
        ours=timing.ours.scaled(1e3),
        reference=timing.reference.scaled(1e3),
        unit="ms",
        goal=goal,
        ratio=timing.median_of_ratios,
    )


def main() -> None:
    """Prints the table."""
    options = report.arguments("Measures the interactions.")
    rounds = 1 if options.quick else 31
    parts: list[Callable[[], Iterator[report.Row]]] = [
        functools.partial(grouped, rounds, others=MANY[:1] if options.quick else MANY),
        functools.partial(others, rounds),
        functools.partial(experts, rounds, weighed=["flat"] if options.quick else INTERACTIONS),
    ]
    rows = [row for part in tqdm.tqdm(parts, unit="part") for row in part()]
    report.emit(rows, options.json)


if __name__ == "__main__":
    if "--child" in sys.argv:
        child(int(sys.argv[sys.argv.index("--child") + 1]))
    else:
        main()
