"""The space from which a search draws flags, and its conversion from one line of text to Optuna.

    learning_rate=log:1e-4..1e-2,dropout=0..0.5,widths=8,8|16,16

`low..high` is a range, `log:` before it samples its logarithm uniformly, and `a|b|c` are choices. A comma begins the
next flag only if a name and `=` follow it, so a choice may contain commas: `widths=16|16,32,64`.
"""

from __future__ import annotations

import dataclasses
import re
from typing import TYPE_CHECKING, Any, Final

from fullrank.data.files.printable import closest
from fullrank.models.options.setting import FieldType, field_types
from fullrank.trainers.config import json as config_json

if TYPE_CHECKING:
    import optuna

_NEXT: Final = re.compile(r",(?=\s*(?:--)?[A-Za-z_]\w*\s*=)")
_LOG: Final = "log:"
_SET_BY_SEARCH: Final = frozenset({"seed"})
"""Flags that change the result only by chance: the best of many seeds is not the best setting."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Range:
    """A flag that takes a number from a range, both ends included.

    Attributes:
      flag: Name of the flag.
      low: Least value.
      high: Largest value.
      log: Whether the logarithm is sampled uniformly.
    """

    flag: str
    low: int | float
    high: int | float
    log: bool

    def draw(self, trial: optuna.Trial) -> str:
        """The flag's text for a trial."""
        if isinstance(self.low, int) and isinstance(self.high, int):
            return str(trial.suggest_int(self.flag, self.low, self.high, log=self.log))
        return repr(trial.suggest_float(self.flag, self.low, self.high, log=self.log))

    @property
    def examples(self) -> tuple[str, ...]:
        """Texts that represent all others when flags are checked."""
        return (repr(self.low), repr(self.high))


@dataclasses.dataclass(frozen=True, kw_only=True)
class Choice:
    """A flag that takes one of several texts.

    Attributes:
      flag: Name of the flag.
      values: The texts.
    """

    flag: str
    values: tuple[str, ...]

    def draw(self, trial: optuna.Trial) -> str:
        """The flag's text for a trial."""
        return trial.suggest_categorical(self.flag, self.values)

    @property
    def examples(self) -> tuple[str, ...]:
        """Texts that represent all others when flags are checked."""
        return self.values


Space = tuple["Range | Choice", ...]


def read_space(text: str) -> Space:
    """Parses a space from its line of text.

    Raises:
      ValueError: If a flag is unknown, does not change the result, or its values cannot be read.
    """
    if not text.strip():
        raise ValueError("--space is empty: give at least one flag, such as learning_rate=log:1e-4..1e-2.")
    kinds = _flags()
    found: dict[str, Range | Choice] = {}
    for part in _NEXT.split(text):
        name, equals, values = (piece.strip() for piece in part.partition("="))
        name = name.removeprefix("--")
        if not equals:
            raise ValueError(f"--space: {part.strip()!r} is not flag=values.")
        if name not in kinds:
            meant = closest(name, list(kinds))
            hint = f" Did you mean {meant!r}?" if meant else ""
            raise ValueError(f"--space: {name!r} is not a flag of train that changes the result.{hint}")
        if name in found:
            raise ValueError(f"--space names {name!r} twice.")
        found[name] = _dimension(name, values, kinds[name])
    return tuple(found.values())


def _flags() -> dict[str, FieldType]:
    """Flags of train that can be searched over, with their types."""
    return {
        field.name: kind
        for part in config_json.PARTS.values()
        for field, kind in zip(dataclasses.fields(part), field_types(part).values(), strict=True)
        if not field.metadata["operational"] and field.name not in _SET_BY_SEARCH
    }


def _dimension(name: str, text: str, kind: FieldType) -> Range | Choice:
    if "|" in text:
        values = tuple(value.strip() for value in text.split("|"))
        for value in values:
            _parsed(name, value, kind)
        if len(set(values)) != len(values):
            raise ValueError(f"--space: {name} lists a choice twice. Received: {text!r}.")
        return Choice(flag=name, values=values)
    numbers = text.removeprefix(_LOG)
    low, dots, high = numbers.partition("..")
    if not dots:
        raise ValueError(
            f"--space: {name} takes low..high, log:low..high or choices separated by |. Received: {text!r}. A single "
            "value is a flag of train and goes after --."
        )
    if kind.item not in (int, float) or kind.many:
        raise ValueError(f"--space: {name} is not a number; separate choices by |. Received: {text!r}.")
    least, largest = _parsed(name, low, kind), _parsed(name, high, kind)
    log = text.startswith(_LOG)
    if least is None or largest is None or least >= largest or (log and least <= 0):
        positive = " and above 0" if log else ""
        raise ValueError(f"--space: {name} needs low < high{positive}. Received: {text!r}.")
    return Range(flag=name, low=least, high=largest, log=log)


def _parsed(name: str, text: str, kind: FieldType) -> Any:
    try:
        return kind.parse(text)
    except ValueError as error:
        raise ValueError(f"--space: {name}: {error}. Received: {text!r}.") from error
