"""Residual quantisation, which learns groups of groups ([Meta] §3.1)."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

import tensorflow as tf
import tf_keras as keras

from fullrank.layers.checks.arguments import require_counts
from fullrank.layers.checks.inputs import Input, takes
from fullrank.layers.groups.k_means import k_means, nearest_codes, random_rows


class Quantized(NamedTuple):
    """The output of `ResidualQuantizer` for a batch.

    Attributes:
      groups: `[B, d]`, the sum of the chosen codes (`[B, Q d]` when concatenated), with a straight-through gradient.
      codes: `[B, Q]` int32, the chosen code of each level.
      loss: `[B]` float32, the commitment loss, to be weighted, averaged and added to the objective.
      errors: `[B, Q]` float32, remaining squared distance after each level, without gradient.
    """

    groups: tf.Tensor
    codes: tf.Tensor
    loss: tf.Tensor
    errors: tf.Tensor


@keras.saving.register_keras_serializable(package="fullrank")
@takes(inputs=Input("[B, d]", known="d"))
class ResidualQuantizer(keras.layers.Layer):
    """Q codebooks of C codes; each level quantises the residual of the levels before it.

        r_1 = r,   e_i = argmin_{e in E_i} ||r_i - e||,   r_{i+1} = r_i - sg(e_i)                   ([Meta] Eq. 3)
        loss = sum_i ||r_i - sg(e_i)||^2 + mu ||sg(r_i) - e_i||^2                                   ([Meta] Eq. 2)

    The first term pulls the input towards its codes, the second the codes towards the input; their weights are as
    printed, which is the reverse of most VQ-VAEs. Because the residual subtracts sg(e_i), every level's first term
    reaches the input, whose gradient is `2 sum_i r_{i+1}`; with straight-through values in the residual only the first
    level's would. All of it is float32.

    Groups carry the gradient straight through to the input: d groups / d r = 1 (concatenated: 1 for each level), and
    none to the codes. `embed(codes)` returns the same values as plain embeddings, whose gradient trains the codes.

    With `training=True` the layer also maintains its codebooks, which is not in the paper:

    * The first batch starts them: level by level, k-means on its residuals.
    * A code whose running share of the choices has fallen below `restart_share / C` is moved onto a random residual of
      the batch. It must not have been chosen in this batch, so no gradient reaches the moved code; the optimiser's
      state of the old one stays.

    Call arguments:
      inputs: `[B, d]`, the encoded r.

    Returns:
      `Quantized`.

    Args:
      levels: Q.
      codes: C, at least 2.
      mu: Weight of the second term.
      combine: `sum` or `concat` of the levels.
      k_means_steps: K-means iterations at the start; 0 takes random rows of the batch.
      usage_decay: Decay of the running share of each code, per batch.
      restart_share: A code is dead below this fraction of the even share 1 / C; 0 never restarts one.
      seed: Seed of initial values, start and restarts; `None` draws from TensorFlow's global generator.
    """

    def __init__(
        self,
        levels: int,
        codes: int,
        *,
        mu: float = 1.0,
        combine: Literal["sum", "concat"] = "sum",
        k_means_steps: int = 10,
        usage_decay: float = 0.95,
        restart_share: float = 0.05,
        seed: int | None = None,
        name: str | None = None,
        dtype: Any = None,
        trainable: bool = True,
    ) -> None:
        super().__init__(name=name, dtype=dtype, trainable=trainable)
        if levels < 1 or codes < 2:
            raise ValueError(f"ResidualQuantizer needs levels >= 1, codes >= 2. Received: {levels} and {codes}.")
        if combine not in ("sum", "concat"):
            raise ValueError(f"combine must be 'sum' or 'concat'. Received: {combine!r}.")
        if k_means_steps < 0 or not 0.0 <= usage_decay < 1.0 or not 0.0 <= restart_share < 1.0:
            raise ValueError(
                "ResidualQuantizer needs k_means_steps >= 0, usage_decay in [0, 1) and restart_share in [0, 1). "
                f"Received: {k_means_steps}, {usage_decay} and {restart_share}."
            )
        require_counts("ResidualQuantizer", levels=levels, codes=codes)
        self.levels = levels
        self.codes = codes
        self.mu = mu
        self.combine = combine
        self.k_means_steps = k_means_steps
        self.usage_decay = usage_decay
        self.restart_share = restart_share
        self.seed = seed

    def build(self, input_shape: Any) -> None:
        """Creates the codebooks `[Q, C, d]` and their statistics."""
        width = input_shape[-1]
        if len(input_shape) != 2 or width is None:
            raise ValueError(f"ResidualQuantizer needs inputs [B, d] of known d. Received: {input_shape}.")
        self._codebooks = self.add_weight(
            name="codebooks",
            shape=(self.levels, self.codes, width),
            dtype="float32",
            initializer=keras.initializers.RandomNormal(stddev=width**-0.5, seed=self.seed),
            experimental_autocast=False,
            aggregation=tf.VariableAggregation.ONLY_FIRST_REPLICA,
        )
        self._usage = self._state("usage", (self.levels, self.codes), 1.0 / self.codes)
        self._started = self._state("started", (), 0.0)
        self._batches = self._state("batches", (), 0.0)
        super().build(input_shape)

    def _state(self, name: str, shape: tuple[int, ...], value: float) -> tf.Variable:
        return self.add_weight(
            name=name,
            shape=shape,
            dtype="float32",
            initializer=keras.initializers.Constant(value),
            trainable=False,
            experimental_autocast=False,
            aggregation=tf.VariableAggregation.MEAN,
        )

    def call(self, inputs: tf.Tensor, training: bool | None = None) -> Quantized:
        """Quantises the batch."""
        residual = first = tf.cast(inputs, tf.float32)
        learns = bool(training) and self.trainable
        if learns:
            self._start(tf.stop_gradient(first))
        codebooks = tf.convert_to_tensor(self._codebooks)
        chosen, values, residuals, errors = [], [], [], []
        loss = tf.zeros_like(first[:, 0])
        for level in range(self.levels):
            codes = nearest_codes(residual, codebooks[level])
            code = tf.gather(codebooks[level], codes)
            constant = tf.stop_gradient(code)
            loss += tf.reduce_sum(tf.square(residual - constant), axis=1)
            loss += self.mu * tf.reduce_sum(tf.square(tf.stop_gradient(residual) - code), axis=1)
            values.append(residual + tf.stop_gradient(code - residual))
            residuals.append(tf.stop_gradient(residual))
            residual = residual - constant
            chosen.append(codes)
            errors.append(tf.stop_gradient(tf.reduce_sum(tf.square(residual), axis=1)))
        groups = first - tf.stop_gradient(residual) if self.combine == "sum" else tf.concat(values, axis=1)
        if learns:
            self._maintain(tf.stack(chosen), tf.stack(residuals))
        return Quantized(
            groups=tf.cast(groups, self.compute_dtype),
            codes=tf.stack(chosen, axis=1),
            loss=loss,
            errors=tf.stack(errors, axis=1),
        )

    def embed(self, codes: tf.Tensor) -> tf.Tensor:
        """The codes `[B, Q]` as plain embeddings, `[B, d]` or `[B, Q d]`, with a gradient to the codebooks."""
        rows = codes + self.codes * tf.range(self.levels, dtype=codes.dtype)
        values = tf.gather(tf.reshape(self._codebooks, [self.levels * self.codes, -1]), rows)
        if self.combine == "sum":
            return tf.cast(tf.reduce_sum(values, axis=1), self.compute_dtype)
        return tf.cast(tf.reshape(values, [-1, self.levels * values.shape[-1]]), self.compute_dtype)

    def statistics(self) -> dict[str, tf.Tensor]:
        """For each level `[Q]`: `usage`, the share of codes that are alive, and `perplexity` of the running shares.

        Perplexity is exp of their entropy: C if all codes are chosen equally often, 1 if only one is.
        """
        shares = self._usage / tf.reduce_sum(self._usage, axis=1, keepdims=True)
        alive = tf.cast(shares >= max(self.restart_share, 1e-3) / self.codes, tf.float32)
        entropy = -tf.reduce_sum(tf.math.xlogy(shares, shares), axis=1)
        return {"usage": tf.reduce_mean(alive, axis=1), "perplexity": tf.exp(entropy)}

    def _start(self, inputs: tf.Tensor) -> None:
        """Initialises the codebooks from the first batch that is not empty; does nothing afterwards."""

        def start() -> tf.Tensor:
            books, residual = [], inputs
            for level in range(self.levels):
                places = self._random_rows(tf.shape(inputs)[0], level=level)
                book = k_means(residual, tf.gather(residual, places), steps=self.k_means_steps)
                residual -= tf.gather(book, nearest_codes(residual, book))
                books.append(book)
            return tf.stack(books)

        due = tf.logical_and(tf.equal(self._started, 0.0), tf.shape(inputs)[0] > 0)
        self._move(tf.cond(due, lambda: start() - self._codebooks, lambda: tf.zeros_like(self._codebooks)))
        self._started.assign(tf.where(due, 1.0, self._started))

    def _maintain(self, chosen: tf.Tensor, residuals: tf.Tensor) -> None:
        """Updates the shares `[Q, C]` by choices `[Q, B]`, and moves dead codes onto residuals `[Q, B, d]`."""
        batch = tf.shape(chosen)[1]
        cells = chosen + self.codes * tf.range(self.levels)[:, tf.newaxis]
        counts = tf.math.bincount(tf.reshape(cells, [-1]), minlength=self.levels * self.codes)
        counts = tf.reshape(tf.cast(counts, tf.float32), [self.levels, self.codes])
        shares = tf.math.divide_no_nan(counts, tf.cast(batch, tf.float32))
        usage = self.usage_decay * self._usage + (1.0 - self.usage_decay) * shares
        dead = tf.logical_and(usage < self.restart_share / self.codes, tf.equal(counts, 0.0))
        dead = tf.logical_and(dead, batch > 0)

        def shifts() -> tf.Tensor:
            places = tf.stack([self._random_rows(batch, level=level) for level in range(self.levels)])
            drawn = tf.gather(residuals, places, batch_dims=1)
            return tf.where(dead[:, :, tf.newaxis], drawn - self._codebooks, 0.0)

        self._move(tf.cond(tf.reduce_any(dead), shifts, lambda: tf.zeros_like(self._codebooks)))
        self._usage.assign(tf.where(batch > 0, tf.where(dead, 1.0 / self.codes, usage), self._usage))
        self._batches.assign_add(1.0)

    def _move(self, shifts: tf.Tensor) -> None:
        """Adds `[Q, C, d]` to the codebooks; because it adds, zeros do not undo what another worker has learned."""
        self._codebooks.assign_add(shifts)

    def _random_rows(self, batch: tf.Tensor, *, level: int) -> tf.Tensor:
        """C row numbers below `batch`, distinct while there are enough rows."""
        if self.seed is None:
            seed = tf.random.uniform([2], maxval=tf.int32.max, dtype=tf.int32)
        else:
            seed = tf.stack([self.seed * self.levels + level, tf.cast(self._batches, tf.int32)])
        return random_rows(batch, number=self.codes, seed=seed)

    def get_config(self) -> dict[str, Any]:
        """The arguments."""
        own = {
            "levels": self.levels,
            "codes": self.codes,
            "mu": self.mu,
            "combine": self.combine,
            "k_means_steps": self.k_means_steps,
            "usage_decay": self.usage_decay,
            "restart_share": self.restart_share,
            "seed": self.seed,
        }
        return {**super().get_config(), **own}
