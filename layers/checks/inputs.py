"""Inputs of a layer, checked before TensorFlow sees them: number, type, rank, and sizes that have to agree.

The module also holds functions that layers apply to their inputs: masked places of a sequence contribute neither a
value nor a gradient, and operations that low precision would spoil (sums over a batch, softmaxes, differences that
cancel) are computed in float32 at least.
"""

from __future__ import annotations

import dataclasses
import functools
import inspect
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final, Literal, TypeVar

import numpy as np
import tensorflow as tf
import tf_keras as keras

Kind = Literal["floating", "number", "bool"]
LayerType = TypeVar("LayerType", bound=type[keras.layers.Layer])

_VARYING: Final = ("B", "L", "S", "...")
"""Axes that may differ from call to call: batch, history, neighbours, and all axes before them."""


@dataclasses.dataclass(frozen=True)
class Input:
    """The declaration of one input of a layer.

    Args:
      shape: Written as in docstrings, `[B, F, d]`; alternatives are joined by ` or `. A letter means one size in all
        inputs of a layer; except for B, L and S, the size of the first call applies from then on. `[..., d]` is any
        number of axes before d.
      kind: `floating`, `number` (integers too) or `bool`.
      known: Letters whose size must be known when a graph is built.
      optional: Whether it may be `None`.
    """

    shape: str
    kind: Kind = "floating"
    known: str = ""
    optional: bool = False

    @functools.cached_property
    def axes(self) -> tuple[tuple[str, ...], ...]:
        """The letters of each legal shape."""
        return tuple(tuple(re.findall(r"\.\.\.|\w+", each)) for each in self.shape.split(" or "))


def takes(**inputs: Input) -> Callable[[LayerType], LayerType]:
    """Decorates a layer whose inputs are to be checked, by the names of the arguments of `call`, in their order.

    A wrong input ends in a TypeError (number of inputs, or type) or a ValueError (rank, or a size), which names the
    layer, what it takes and what it received. A size that is unknown while a graph is built passes, unless it is
    needed.
    """

    def decorate(layer: LayerType) -> LayerType:
        inherited = layer.__call__

        @functools.wraps(inherited)
        def checked(self: keras.layers.Layer, *args: Any, **kwargs: Any) -> Any:
            args, kwargs, sizes = _checked(self, inputs, args, kwargs)
            output = inherited(self, *args, **kwargs)
            # Set without Keras, which would track it, and only now that the layer has accepted the inputs and is built.
            vars(self).setdefault("_sizes_of_axes", sizes)
            return output

        layer.__call__ = checked
        return layer

    return decorate


@tf.autograph.experimental.do_not_convert
def _checked(
    layer: keras.layers.Layer, inputs: dict[str, Input], args: Sequence[Any], kwargs: dict[str, Any]
) -> tuple[list[Any], dict[str, Any], dict[str, int]]:
    """Arguments with NumPy's arrays as tensors, and the sizes of the axes that stay."""
    positional = dict(zip(inputs, args, strict=False))
    twice = positional.keys() & kwargs.keys()
    unknown = [name for name in kwargs if name not in inspect.signature(layer.call).parameters]
    given = positional | {name: value for name, value in kwargs.items() if name in inputs}
    missing = [name for name, spec in inputs.items() if given.get(name) is None and not spec.optional]
    if twice or missing or unknown or len(args) > len(inputs):
        wanted = ", ".join(f"{name} {_wanted(spec)}" for name, spec in inputs.items())
        received = [*("an input" for _ in args), *kwargs] or ["nothing"]
        raise TypeError(f"{_named(layer)} takes {wanted}. Received: {', '.join(received)}.")
    sizes: dict[str, int] = dict(vars(layer).get("_sizes_of_axes", {}))
    for name, value in given.items():
        if value is not None:
            given[name] = _tensor(layer, name, inputs[name], value)
            _check_sizes(layer, name, inputs[name], given[name], sizes)
    return (
        [given[name] for name in positional],
        {name: given.get(name, value) for name, value in kwargs.items()},
        {letter: size for letter, size in sizes.items() if letter not in _VARYING},
    )


def _tensor(layer: keras.layers.Layer, name: str, spec: Input, value: Any) -> Any:
    if isinstance(value, (np.ndarray, np.generic)) and value.dtype.kind in "biuf":
        value = tf.convert_to_tensor(value)
    sparse = isinstance(value, (tf.RaggedTensor, tf.SparseTensor))
    if sparse or not (hasattr(value, "dtype") and hasattr(value, "shape")):
        raise TypeError(f"{_named(layer)} takes {name} {_wanted(spec)}. Received: {type(value).__name__}.")
    dtype = tf.as_dtype(value.dtype)
    legal = {
        "floating": dtype.is_floating,
        "number": dtype.is_floating or dtype.is_integer,
        "bool": dtype.is_bool,
    }
    if not legal[spec.kind]:
        raise TypeError(f"{_named(layer)} takes {name} {_wanted(spec)}. Received: {dtype.name}.")
    return value


def _check_sizes(layer: keras.layers.Layer, name: str, spec: Input, value: Any, sizes: dict[str, int]) -> None:
    """Compares a shape with the sizes of axes so far, and adds its own."""
    shape = tf.TensorShape(value.shape)
    if shape.rank is None:
        raise ValueError(f"{_named(layer)} takes {name} {_wanted(spec)}. Received: a tensor of unknown rank.")
    axes = next((axes for axes in spec.axes if _fits(axes, shape.rank)), None)
    found = [] if axes is None else list(_aligned(axes, shape.as_list()))
    wrong = [letter for letter, size in found if size is not None and sizes.get(letter, size) != size]
    unknown = [letter for letter, size in found if size is None and letter in spec.known.split()]
    if axes is None or wrong or unknown:
        bound = ", ".join(f"{letter} = {sizes[letter]}" for letter in wrong if letter != "...")
        needed = ", ".join(unknown)
        raise ValueError(
            f"{_named(layer)} takes {name} {_wanted(spec)}{bound and f' with {bound}'}"
            f"{needed and f' with a known size of {needed}'}. Received: {_printed(shape)}."
        )
    sizes.update({letter: size for letter, size in found if size is not None and letter != "B"})


def _fits(axes: tuple[str, ...], rank: int) -> bool:
    return rank >= len(axes) - 1 if "..." in axes else rank == len(axes)


def _aligned(axes: tuple[str, ...], shape: list[int | None]) -> Iterator[tuple[str, int | None]]:
    """Letters with their sizes; for `...` the rank, which all inputs of a call share."""
    named = [letter for letter in axes if letter != "..."]
    if "..." in axes:
        yield "...", len(shape) - len(named)
    yield from zip(named, shape[len(shape) - len(named) :], strict=True)


def _wanted(spec: Input) -> str:
    kinds = {"floating": "of floats", "number": "of numbers", "bool": "of bool"}
    return f"{spec.shape} {kinds[spec.kind]}" + (" (or None)" if spec.optional else "")


def _printed(shape: tf.TensorShape) -> str:
    return "shape [" + ", ".join("None" if size is None else str(size) for size in shape.as_list()) + "]"


def _named(layer: keras.layers.Layer) -> str:
    return f"{type(layer).__name__} {layer.name!r}"


def known_places(values: tf.Tensor, mask: tf.Tensor) -> tf.Tensor:
    """Values where the mask is true, and 0 elsewhere, even in place of NaN: 0 times NaN would be NaN.

    The gradient at a masked place is exactly 0.

    Args:
      values: `[..., L]` or `[..., L, d]`.
      mask: `[..., L]` bool.
    """
    if values.shape.rank == mask.shape.rank + 1:
        mask = mask[..., tf.newaxis]
    return tf.where(mask, values, tf.zeros([], values.dtype))


def exact_dtype(dtype: tf.DType | str) -> tf.DType:
    """float64 for float64, and float32 for every other compute dtype.

    Args:
      dtype: That of a layer's computations or of a tensor.
    """
    return tf.float64 if tf.as_dtype(dtype) == tf.float64 else tf.float32
