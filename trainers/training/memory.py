"""Memory: checks that embedding tables fit before anything is built, and keeps freed memory for the next step."""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from fullrank.data.schema.schema import Schema

_BYTES: Final = 4
_LIMITS: Final = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")
"""The files with a container's limit, in version 2 and version 1 of control groups."""
_UNITS: Final = ("B", "KB", "MB", "GB", "TB", "PB", "EB")


def check_tables_fit(
    schema: Schema,
    *,
    widths: Sequence[int],
    narrow: Mapping[str, int] | None = None,
    memory: int | None = None,
    machines: int = 1,
) -> None:
    """Rejects float32 tables that together exceed the memory of the machine or of its container.

    A feature's table has `rows x width x 4` bytes in every embedding set; the optimiser's slots are not counted, so a
    model that passes can still be too large.

    Args:
      schema: Schema of the data, whose sparse features have the tables.
      widths: Widths of the embedding sets.
      narrow: Table -> width of its rows in wider sets.
      memory: Memory in bytes; that of the machine or container if `None`.
      machines: How many machines of as much memory share the tables.

    Raises:
      ValueError: If they are too large; the message names the largest table.
    """
    there = total_memory() if memory is None else memory
    there = None if there is None else there * machines
    numbers = {
        feature.name: sum(min(width, (narrow or {}).get(feature.name, width)) for width in widths)
        for feature in schema.tables
    }
    sizes = {feature.name: feature.ids.rows * numbers[feature.name] * _BYTES for feature in schema.tables}
    needed = sum(sizes.values())
    if there is None or needed <= there:
        return
    largest = max(sizes, key=lambda name: sizes[name])
    rows = schema.table(largest).ids.rows
    half = min(max(widths), (narrow or {}).get(largest, max(widths))) // 2
    narrower = f", narrower rows (--table_widths={largest}:{half})" if half else ""
    raise ValueError(
        f"The embedding tables need {in_bytes(needed)}, but there are {in_bytes(there)} of memory: the largest is that "
        f"of feature {largest!r}, {rows:,} rows x {numbers[largest]} numbers of {_BYTES} bytes = "
        f"{in_bytes(sizes[largest])}. Give the feature fewer rows (in schema.json ids of kind 'hash' with a smaller "
        "size, or a vocabulary with max_size, "
        f"and convert again){narrower}, or smaller --widths."
    )


def total_memory() -> int | None:
    """The memory of the machine, or of its container if that is less, in bytes; `None` if unknown."""
    found = []
    if {"SC_PHYS_PAGES", "SC_PAGE_SIZE"} <= os.sysconf_names.keys():
        found.append(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    for limit in map(Path, _LIMITS):
        text = limit.read_text(encoding="ascii").strip() if limit.is_file() else ""
        if text.isdecimal():
            found.append(int(text))
    return min(found, default=None)


def in_bytes(number: int) -> str:
    """Bytes with a unit, as `1.5 GB`."""
    power = min(max(0, (len(str(number)) - 1) // 3), len(_UNITS) - 1)
    return f"{number / 1000**power:,.{1 if power else 0}f} {_UNITS[power]}"


# Parameters of glibc's mallopt.
_TRIM_THRESHOLD, _TOP_PAD, _MMAP_THRESHOLD = -1, -2, -3
_LARGEST_BLOCK, _LARGEST_OF_OLD_GLIBC = 256 << 20, 32 << 20


def keep_freed_memory() -> bool:
    """Makes the C library keep the activations and gradients that a step frees for the next step.

    By default it returns blocks of some megabytes to the system, which hands every page back zeroed, with one fault per
    page: 8,000 to 48,000 faults and a tenth to a quarter of the processor time of a DCN V2 step of 2,048 examples. The
    settings hold for the whole process, so only a command may choose them. Up to 512 MB that are not in use stay with
    the process; blocks above 256 MB, such as large tables, go back at once as before.

    Returns:
      Whether the settings were made: only glibc has them.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt is None:
        return False
    kept = mallopt(_MMAP_THRESHOLD, _LARGEST_BLOCK) or mallopt(_MMAP_THRESHOLD, _LARGEST_OF_OLD_GLIBC)
    return bool(kept and mallopt(_TRIM_THRESHOLD, 512 << 20) and mallopt(_TOP_PAD, 64 << 20))
