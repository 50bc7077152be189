"""Finds the embedding tables at a path of any supported kind."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from fullrank.analysis.inputs.checkpoint import checkpoint_prefix, read_checkpoint, read_int8
from fullrank.analysis.inputs.npz import read_npz, read_safetensors
from fullrank.analysis.inputs.variables import StoredVariable
from fullrank.data.schema.saved_tables import FILE_NAME, CrossMatrix, StoredTable, TableLayout, read_layout

MIN_ROWS: Final = 1000
MAX_WIDTH: Final = 512


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class TableSource:
    """A variable that holds tables.

    Attributes:
      variable: The variable.
      set: The embedding set it belongs to; empty if the file has no sets.
      tables: The tables that it holds.
    """

    variable: StoredVariable
    set: str
    tables: tuple[StoredTable, ...]


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Input:
    """The tables found at a path.

    Attributes:
      path: The path as given.
      kind: `run`, `SavedModel`, `checkpoint`, `npz` or `safetensors`.
      read: The file or prefix that weights are read from.
      sources: Variables with tables.
      crosses: Matrices with a projection for each pair of fields, and the variables that hold them.
      left_out: Names of the float matrices that were not used as tables.
    """

    path: str
    kind: str
    read: str
    sources: tuple[TableSource, ...]
    crosses: tuple[tuple[CrossMatrix, tuple[StoredVariable, ...]], ...] = ()
    left_out: tuple[str, ...] = ()


def open_input(
    path: str | Path, *, tables: str | None = None, min_rows: int = MIN_ROWS, max_width: int = MAX_WIDTH
) -> Input:
    """Finds the tables in a run directory, a TensorFlow checkpoint, a SavedModel, an `.npz` or a `.safetensors` file.

    Runs and exported models of fullrank describe their tables in `tables.json`. In anything else, a float matrix counts
    as a table if it has at least `min_rows` rows and at most `max_width` columns, or if its name matches `tables`.

    Args:
      path: A file, a directory, or the prefix of a checkpoint.
      tables: Regular expression that is searched in the name of a table (`set/table` if sets are known). If given, it
        alone decides.
      min_rows: Fewest rows of a table.
      max_width: Largest number of columns of a table.

    Raises:
      ValueError: If nothing can be read, or there is no table.
    """
    path = Path(path)
    pattern = _compiled(tables)
    kind, read, variables, layout = _read(path)
    if layout is not None:
        found = _laid_out(path, kind, read, variables, layout, pattern)
    else:
        matrices = [variable for variable in variables if len(variable.shape) == 2 and min(variable.shape) >= 1]
        chosen = [v for v in matrices if _is_table(v, pattern, min_rows, max_width)]
        found = Input(
            path=str(path),
            kind=kind,
            read=read,
            sources=tuple(
                TableSource(variable=v, set="", tables=(StoredTable(name=v.name, start=0, rows=v.shape[0]),))
                for v in chosen
            ),
            left_out=tuple(v.name for v in matrices if v not in chosen),
        )
    if not found.sources:
        raise ValueError(_nothing(found, variables, tables, min_rows, max_width))
    return found


def _compiled(tables: str | None) -> re.Pattern[str] | None:
    try:
        return None if tables is None else re.compile(tables)
    except re.error as error:
        raise ValueError(f"--tables={tables} is not a regular expression: {error}.") from error


def _read(path: Path) -> tuple[str, str, list[StoredVariable], TableLayout | None]:
    """Kind, source of the weights, variables, and the layout of tables if there is one."""
    if path.suffix == ".npz" and path.is_file():
        return "npz", str(path), read_npz(path), None
    if path.suffix == ".safetensors" and path.is_file():
        return "safetensors", str(path), read_safetensors(path), None
    if (path / "config.json").is_file() and (path / "schema.json").is_file():
        return _read_run(path)
    saved = _saved_model(path)
    if saved is not None:
        prefix = saved / "variables" / "variables"
        return "SavedModel", str(saved), read_checkpoint(str(prefix)), _layout(saved / "assets")
    checkpoint = checkpoint_prefix(path)
    if checkpoint is None:
        raise ValueError(
            f"{path} is not a run directory, SavedModel, TensorFlow checkpoint, .npz file or .safetensors file."
        )
    return "checkpoint", checkpoint, read_checkpoint(checkpoint), _layout(Path(checkpoint).parent.parent)


def _read_run(path: Path) -> tuple[str, str, list[StoredVariable], TableLayout | None]:
    """The best weights of a run, with the slots of its last checkpoint."""
    layout = _layout(path)
    if layout is None:
        raise ValueError(
            f"{path} holds no {FILE_NAME}, which describes its tables. Its variables can be analysed as they are: "
            f"--input={path / 'best'}."
        )
    best, last = checkpoint_prefix(path / "best"), checkpoint_prefix(path / "checkpoints")
    read = best or last
    if read is None:
        raise ValueError(f"{path} holds no weights yet: the run has not finished an epoch.")
    variables = read_checkpoint(read)
    if best is not None and last is not None:
        slots = {variable.name: variable.slots for variable in read_checkpoint(last)}
        variables = [dataclasses.replace(v, slots=slots.get(v.name, ())) for v in variables]
    return "run", read, variables, layout


def _saved_model(path: Path) -> Path | None:
    """The directory of a SavedModel: the path itself, or the latest version below it."""
    if (path / "saved_model.pb").is_file():
        return path
    versions = [child for child in path.glob("*/saved_model.pb") if child.parent.name.isdecimal()]
    return max((version.parent for version in versions), key=lambda version: int(version.name), default=None)


def _layout(directory: Path) -> TableLayout | None:
    file = directory / FILE_NAME
    return read_layout(file) if file.is_file() else None


def _laid_out(
    path: Path,
    kind: str,
    read: str,
    variables: Sequence[StoredVariable],
    layout: TableLayout,
    pattern: re.Pattern[str] | None,
) -> Input:
    by_name = {variable.name: variable for variable in variables}

    def variable(name: str) -> StoredVariable:
        if name not in by_name:
            raise ValueError(
                f"{read} has no variable {name!r}, which {FILE_NAME} names: they belong to different models."
            )
        return by_name[name]

    sources = []
    for entry in layout.variables:
        if entry.scales is None:
            holder = variable(entry.variable)
        else:
            prefix = str(Path(read) / "variables" / "variables") if kind == "SavedModel" else read
            holder = read_int8(prefix, codes=entry.variable, scales=entry.scales)
        for table in entry.tables:
            if holder.shape[1] != entry.width or table.start + table.rows > holder.shape[0]:
                raise ValueError(f"{read}: {entry.variable} is {holder.shape}, which {FILE_NAME} does not fit.")
        chosen = tuple(t for t in entry.tables if pattern is None or pattern.search(f"{entry.set}/{t.name}"))
        if chosen:
            sources.append(TableSource(variable=holder, set=entry.set, tables=chosen))
    crosses = []
    for cross in layout.crosses:
        # The first factor of a product is the one with more rows.
        below = [v for v in variables if v.name.startswith(f"{cross.scope}/") and len(v.shape) == 2]
        if below:
            crosses.append((cross, tuple(sorted(below, key=lambda v: (-v.shape[0], len(v.name), v.name)))))
    return Input(path=str(path), kind=kind, read=read, sources=tuple(sources), crosses=tuple(crosses))


def _is_table(variable: StoredVariable, pattern: re.Pattern[str] | None, min_rows: int, max_width: int) -> bool:
    if pattern is not None:
        return pattern.search(variable.name) is not None
    return variable.shape[0] >= min_rows and variable.shape[1] <= max_width


def _nothing(
    found: Input, variables: Sequence[StoredVariable], tables: str | None, min_rows: int, max_width: int
) -> str:
    known = sorted((v for v in variables if len(v.shape) == 2), key=lambda v: -v.shape[0])[:5]
    listed = ", ".join(f"{v.name} {list(v.shape)}" for v in known) or "none"
    why = f"whose name --tables={tables} finds" if tables else f"of --min_rows={min_rows} and --max_width={max_width}"
    return f"{found.path} ({found.kind}) holds no table {why}. Its largest matrices: {listed}."
