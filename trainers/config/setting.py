"""One field of a configuration: its default, what it means, and the values it may take."""

from __future__ import annotations

import dataclasses
from typing import Any, Final

from fullrank.trainers.field_type import field_types

REQUIRED: Final = dataclasses.MISSING


def setting(
    default: Any,
    meaning: str,
    *,
    minimum: float | None = None,
    above: float | None = None,
    below: float | None = None,
    operational: bool = False,
) -> Any:
    """Declares a field of a frozen configuration, from which its command-line flag is derived.

    Args:
      default: The value where none is given; `REQUIRED` for a field that has to be given.
      meaning: The flag's help.
      minimum: Least number allowed; of each item where there are several.
      above: A number has to be larger than this.
      below: A number has to be smaller than this.
      operational: Whether the field leaves the result alone, so that a run may be resumed with another value.
    """
    metadata = {
        "meaning": meaning,
        "minimum": minimum,
        "above": above,
        "below": below,
        "operational": operational,
    }
    return dataclasses.field(default=default, metadata=metadata)


def check_settings(config: Any) -> None:
    """Checks every field of a configuration against its type and its limits.

    Raises:
      ValueError: If one does not hold; the message names the flag.
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
