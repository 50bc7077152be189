"""One setting, declared once: its default, meaning and allowed values, and its conversion to text and JSON.

Options of a model and configurations of commands are frozen dataclasses of such fields. A configuration inherits the
settings of the options, or declares them with a prefix by `same_as`; `part_of` extracts the options from it.
"""

from __future__ import annotations

import dataclasses
import math
import types
import typing
from typing import Any, Final, Literal, TypeVar

_WORDS: Final = {str: "text", int: "a whole number", float: "a number", bool: "true or false"}
_TRUTHS: Final = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}
_Options = TypeVar("_Options")
NONE: Final = "none"
REQUIRED: Final = dataclasses.MISSING


@dataclasses.dataclass(frozen=True, kw_only=True)
class FieldType:
    """The type of a setting: text, a number, a Boolean or one of several choices; optionally many of them, or `None`.

    Attributes:
      item: `str`, `int`, `float` or `bool`.
      choices: Allowed texts; empty for any.
      many: Whether it is a tuple of items, written with commas.
      optional: Whether `None` is allowed, written `none`.
    """

    item: type
    choices: tuple[str, ...] = ()
    many: bool = False
    optional: bool = False

    @classmethod
    def of(cls, annotation: Any) -> FieldType:
        """Reads an annotation such as `int`, `float | None`, `tuple[str, ...]` or `Literal["a", "b"]`."""
        origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
        if origin in (types.UnionType, typing.Union):
            (inner,) = (argument for argument in arguments if argument is not types.NoneType)
            return dataclasses.replace(cls.of(inner), optional=True)
        if origin is tuple:
            return dataclasses.replace(cls.of(arguments[0]), many=True)
        if origin is Literal:
            return cls(item=str, choices=tuple(arguments))
        if annotation in _WORDS:
            return cls(item=annotation)
        raise TypeError(f"A configuration field cannot have the type {annotation!r}.")

    def parse(self, text: str) -> Any:
        """Parses a flag's text.

        Raises:
          ValueError: If the text is not of this type; the message does not repeat it.
        """
        if self.optional and text.strip().lower() == NONE:
            return None
        if self.many:
            return tuple(self._item(part.strip()) for part in text.split(",")) if text.strip() else ()
        return self._item(text)

    def format(self, value: Any) -> str:
        """The text that `parse` reads back."""
        if value is None:
            return NONE
        if self.many:
            return ",".join(map(str, value))
        return str(value).lower() if self.item is bool else str(value)

    def check(self, value: Any) -> Any:
        """Returns a Python or JSON value in its exact type: a list as a tuple, an `int` as a `float` if declared so.

        Raises:
          ValueError: If it is not of this type.
        """
        if value is None and self.optional:
            return None
        if self.many:
            if not isinstance(value, (list, tuple)):
                raise ValueError(f"expected a list, each {self.words}")
            return tuple(self._check_item(item) for item in value)
        return self._check_item(value)

    @property
    def words(self) -> str:
        """The type of one item, in words."""
        return f"one of {', '.join(self.choices)}" if self.choices else _WORDS[self.item]

    def _item(self, text: str) -> Any:
        try:
            if self.item is bool:
                return _TRUTHS[text.strip().lower()]
            return self._check_item(self.item(text))
        except (KeyError, ValueError) as error:
            raise ValueError(f"expected {self._all_words}") from error

    def _check_item(self, value: Any) -> Any:
        if self.item is float and isinstance(value, int) and not isinstance(value, bool):
            value = float(value)
        wrong = type(value) is not self.item or (self.choices and value not in self.choices)
        if wrong or (self.item is float and not math.isfinite(value)):
            raise ValueError(f"expected {self._all_words}")
        return value

    @property
    def _all_words(self) -> str:
        several = f"{self.words}, or several with commas between" if self.many else self.words
        return f"{several}, or {NONE}" if self.optional else several


def field_types(config_class: type) -> dict[str, FieldType]:
    """Name -> type of every field of a configuration class, in order."""
    hints = typing.get_type_hints(config_class)
    return {field.name: FieldType.of(hints[field.name]) for field in dataclasses.fields(config_class)}


def setting(
    default: Any,
    meaning: str,
    *,
    minimum: float | None = None,
    above: float | None = None,
    below: float | None = None,
    operational: bool = False,
) -> Any:
    """Declares a field of frozen options or of a configuration, from which its command-line flag is derived.

    Limits are checked by `check_settings`, which every configuration calls.

    Args:
      default: The value if none is given; `REQUIRED` for a field that has to be given.
      meaning: The flag's help.
      minimum: Smallest number allowed, for each item if there are several.
      above: A number has to be larger than this.
      below: A number has to be smaller than this.
      operational: Whether the field does not affect the result, so a run may be resumed with another value.
    """
    metadata = {
        "meaning": meaning,
        "minimum": minimum,
        "above": above,
        "below": below,
        "operational": operational,
    }
    return dataclasses.field(default=default, metadata=metadata)


def same_as(options: type, name: str) -> Any:
    """Declares a field with the default, limits and meaning of a setting of other options.

    Args:
      options: The class that declares it.
      name: Its name there.
    """
    (declared,) = (field for field in dataclasses.fields(options) if field.name == name)
    return dataclasses.field(default=declared.default, metadata=declared.metadata)


def part_of(config: Any, *, of: type[_Options], prefix: str = "", **others: Any) -> _Options:
    """The options that a configuration holds among its fields.

    Args:
      config: Has every field of `of`, with `prefix` before its name, except `others`.
      of: The class of the options.
      prefix: Such as `group_`, where `config.group_codes` is the options' `codes`.
      others: Values of the fields that the configuration lacks or has in another form.

    Raises:
      AttributeError: If the configuration lacks a field.
      TypeError: If one of `others` is not a field.
    """
    names = [field.name for field in dataclasses.fields(of) if field.name not in others]  # type: ignore[arg-type]
    return of(**{name: getattr(config, prefix + name) for name in names}, **others)


def check_settings(config: Any) -> None:
    """Checks every field of a configuration against its type and limits.

    Raises:
      ValueError: If a value has the wrong type or is out of range; the message names the flag.
    """
    kinds = field_types(type(config))
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        try:
            exact = kinds[field.name].check(value)
        except ValueError as error:
            raise ValueError(f"--{field.name}: {error}. Received: {value!r}.") from error
        object.__setattr__(config, field.name, exact)
        for item in exact if isinstance(exact, tuple) else (exact,):
            _check_limits(field, item)


def _check_limits(field: dataclasses.Field[Any], item: Any) -> None:
    if isinstance(item, (bool, str)) or item is None:
        return
    minimum, above, below = (field.metadata[key] for key in ("minimum", "above", "below"))
    if minimum is not None and item < minimum:
        raise ValueError(f"--{field.name} has to be at least {minimum:g}. Received: {item}.")
    if above is not None and item <= above:
        raise ValueError(f"--{field.name} has to be above {above:g}. Received: {item}.")
    if below is not None and item >= below:
        raise ValueError(f"--{field.name} has to be below {below:g}. Received: {item}.")
