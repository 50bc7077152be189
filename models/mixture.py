"""From the experts' outputs to what each tower reads: gates and further levels of experts ([Tencent] §5)."""

from __future__ import annotations

from collections.abc import Mapping

import tensorflow as tf
import tf_keras as keras

from fullrank.layers.mixture.gate import Gate
from fullrank.layers.mixture.towers import Towers
from fullrank.models.wirings.wiring import Access, Reader, Wiring


class Mixture(keras.layers.Layer):
    """The readers of a wiring over its experts, level by level.

    The gates of the first level look at the mean field of every set. A reader's gate sees a set only if the reader may
    read an expert on it, and trains it only if it may train one: otherwise `dL_i/dE_j` would not be zero by way of the
    gate. A gate of a further level looks at what the reader of its name mixed below (Tang et al. 2020, Eq. 5). The
    experts of a further level are dense layers of width H, all computed in one batched product.

    Call arguments:
      experts: Outputs of the wiring's experts, `[B, E, H]`.
      means: Set -> mean of its fields, `[B, d_s]`.

    Returns:
      `[B, G, H]`, G being the number of towers.

    Args:
      wiring: Readers and levels.
      dropout: Share of the outputs of the further levels' experts dropped in training.
    """

    def __init__(self, wiring: Wiring, *, dropout: float = 0.0, name: str) -> None:
        super().__init__(name=name, autocast=False)
        self._wiring = wiring
        names = ["gate", *(f"gate_{level}" for level in range(2, len(wiring.levels) + 2))]
        self.gates = [
            Gate(tuple(reader.access for reader in readers), kind=wiring.gate, name=name)
            for name, (readers, _) in zip(names, wiring.stages, strict=True)
        ]
        self.levels = [
            Towers((wiring.expert_width,), dropout=dropout, name=f"level_{level}")
            for level in range(2, len(wiring.levels) + 2)
        ]

    def call(self, experts: tf.Tensor, means: Mapping[str, tf.Tensor], training: bool | None = None) -> tf.Tensor:
        """Returns the inputs of the towers."""
        experts, seen = self._below_towers(experts, means, training)
        return self.gates[-1](experts, seen)

    def weights_of(self, experts: tf.Tensor, means: Mapping[str, tf.Tensor]) -> tf.Tensor:
        """How each tower mixes the experts of the last level, `[B, G, E]`, named by `read_experts`."""
        experts, seen = self._below_towers(experts, means, False)
        return self.gates[-1].weights_of(seen, tf.shape(experts)[0])

    @property
    def read_experts(self) -> list[str]:
        """The experts that the towers mix: those of the last level."""
        levels = self._wiring.levels
        return [expert.name for expert in (levels[-1].experts if levels else self._wiring.experts)]

    def _below_towers(
        self, experts: tf.Tensor, means: Mapping[str, tf.Tensor], training: bool | None
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """The outputs of the last level's experts, and the inputs of its gates."""
        seen = self._seen(means, self._wiring.stages[0][0])
        for level, stacked, gate, (above, _) in zip(
            self._wiring.levels, self.levels, self.gates[:-1], self._wiring.stages[1:], strict=True
        ):
            read = gate(experts, seen)
            names = [reader.task for reader in level.readers]
            experts = stacked(_picked(read, [names.index(expert.reads) for expert in level.experts]), training=training)
            seen = _picked(read, [names.index(reader.task) for reader in above])
        return experts, seen

    def _seen(self, means: Mapping[str, tf.Tensor], readers: tuple[Reader, ...]) -> tf.Tensor:
        """Inputs of the first gates: `[B, m]`, or `[B, G, m]` unless every gate sees and trains all sets."""
        seen = tf.concat([means[spec.name] for spec in self._wiring.sets], axis=1)
        access = [self._wiring.access_to_sets(reader) for reader in readers]
        if all(entry == "train" for row in access for entry in row):
            return seen

        def mask(kind: Access) -> tf.Tensor:
            widths = [means[spec.name].shape[1] for spec in self._wiring.sets]
            rows = [[entry == kind for entry, d in zip(row, widths, strict=True) for _ in range(d)] for row in access]
            return tf.cast(tf.constant(rows), seen.dtype)

        return seen[:, tf.newaxis] * mask("train") + tf.stop_gradient(seen)[:, tf.newaxis] * mask("detached")


def _picked(streams: tf.Tensor, places: list[int]) -> tf.Tensor:
    return streams if places == list(range(streams.shape[1])) else tf.gather(streams, places, axis=1)
