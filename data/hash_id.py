"""Hashes content vectors of items to HashIDs, so that items that look alike differ in few bits ([Tencent] §3.2).

Usage:
  fullrank hash-id --input=vectors.npy --ids=ids.npy --output=bits.parquet --bits=64 --center
  fullrank hash-id --input=items.parquet --id_column=item_id --output=bits.parquet --json=hamming.json
  fullrank hash-id --input=new.parquet --like=bits.parquet --output=new_bits.parquet

Each bit is the side of a random hyperplane on which the vector lies, so that two vectors differ in bits * angle / pi
bits on average; the command measures that on pairs of a sample. Vectors that all lie in one cone share most of their
bits: --center subtracts their mean first. Later items must be hashed by the same hyperplanes and mean: --like takes
them from an earlier output. A vector that is missing, zero or not finite gets a null, which becomes a missing HashID.

The output holds the id and a list of bits per row. Add it to a log by --join=bits.parquet --on=item_id of
fullrank infer and fullrank convert. `fullrank hamming` draws what --json holds.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
from absl import flags

from fullrank.data.command.command import new_flags, run_command
from fullrank.data.command.errors import UsageError
from fullrank.data.content.hamming import Hamming, measure_hamming
from fullrank.data.content.sign_bits import projections, sign_bits
from fullrank.data.files.write_aside import check_new_file, file_aside, write_text
from fullrank.data.tables.naming_errors import naming_errors
from fullrank.data.tables.vectors import VectorFile, read_npy_vectors, read_parquet_vectors

METADATA: Final = b"fullrank.hash_id"
"""Metadata key of the output: bits, seed and centre as JSON."""
_DEFAULT_BITS: Final = 64
_DEFAULT_SEED: Final = 1
_CONE: Final = 0.3
"""Mean cosine of random pairs above which the command advises --center."""


class Hashing(NamedTuple):
    """The parameters of the hash; `center` is `None` or `[D]`."""

    bits: int
    seed: int
    center: npt.NDArray[np.float64] | None


class Hashed(NamedTuple):
    """Counts over the vectors of a file, and a sample of them with their bits."""

    rows: int
    not_finite: int
    without_direction: int
    ones: float
    sample: npt.NDArray[np.float64]
    sample_bits: npt.NDArray[np.int8]


def hash_id(flag_values: flags.FlagValues) -> None:
    """Runs the command with parsed flags.

    Raises:
      ValueError: If anything is wrong with flags or files.
    """
    output = Path(flag_values.output)
    check_new_file(output, overwrite=flag_values.overwrite)
    vectors = _open(flag_values)
    if flag_values.column == vectors.id_column:
        raise UsageError(f"--column={flag_values.column} is the name of the ids: choose another one.")
    how = _hashing(flag_values, vectors)
    with file_aside(output, alone=True) as aside:
        done = _write(vectors, how, aside, column=flag_values.column, sample=flag_values.sample)
    measured = measure_hamming(done.sample, done.sample_bits) if len(done.sample) > 1 else None
    if flag_values.json is not None:
        content = {
            **{"input": flag_values.input, "rows": done.rows, "not_finite": done.not_finite},
            **{"without_direction": done.without_direction, "dimension": vectors.dimension, "seed": how.seed},
            **{"centred": how.center is not None, "ones": done.ones},
            **{"hamming": None if measured is None else measured.to_json()},
        }
        write_text(Path(flag_values.json), json.dumps(content, indent=1, allow_nan=False) + "\n")
    print(summary(vectors, how, done, measured))
    print(f"Wrote {output}. Next: --join={output} --on={vectors.id_column} in fullrank infer and convert.")


def summary(vectors: VectorFile, how: Hashing, done: Hashed, measured: Hamming | None) -> str:
    """A readable summary of what was hashed and of what the bits preserve."""
    centred = ", centred" if how.center is not None else ""
    lines = [f"{done.rows:,} vectors of {vectors.dimension} numbers as {how.bits} bits (seed {how.seed}{centred})."]
    missing = done.not_finite + done.without_direction
    if missing:
        lines.append(
            f"{missing:,} have no bits: {done.not_finite:,} are missing or hold a number that is not finite, "
            f"{done.without_direction:,} are zero."
        )
    if measured is None:
        return "\n".join([*lines, "Fewer than two vectors were sampled, so nothing was measured."])
    lines.append(f"\nHamming distance on {measured.pairs:,} pairs of {len(done.sample):,} sampled vectors:\n")
    lines.append(measured.table())
    correlation = measured.rank_correlation
    shown = "undefined" if correlation is None else f"{correlation:.3f}"
    lines.append(f"\nRank correlation of cosine and distance: {shown}. Ones: {done.ones:.1%}.")
    if measured.mean_cosine > _CONE and not centred:
        lines.append(
            f"The mean cosine is {measured.mean_cosine:.2f}: the vectors lie in one cone and share most bits. "
            "--center subtracts their mean."
        )
    return "\n".join(lines)


def _open(flag_values: flags.FlagValues) -> VectorFile:
    file = Path(flag_values.input)
    if file.suffix == ".npy":
        if flag_values.vector_column is not None:
            raise UsageError("--vector_column is for Parquet; an .npy file holds vectors only.")
        ids = None if flag_values.ids is None else Path(flag_values.ids)
        return read_npy_vectors(file, ids=ids, id_column=flag_values.id_column or "item_id")
    if file.suffix not in (".parquet", ".pq"):
        raise UsageError(f"--input={file}: the name must end in .npy, .parquet or .pq.")
    if flag_values.ids is not None:
        raise UsageError("--ids is for .npy; a Parquet file holds its ids in --id_column.")
    return read_parquet_vectors(file, id_column=flag_values.id_column, vector_column=flag_values.vector_column)


def _hashing(flag_values: flags.FlagValues, vectors: VectorFile) -> Hashing:
    if flag_values.like is None:
        center = _mean(vectors) if flag_values.center else None
        bits = _DEFAULT_BITS if flag_values.bits is None else flag_values.bits
        return Hashing(bits, _DEFAULT_SEED if flag_values.seed is None else flag_values.seed, center)
    if flag_values.bits is not None or flag_values.seed is not None or flag_values.center:
        raise UsageError("--like takes bits, seed and centre from a file, so --bits, --seed and --center exclude it.")
    like = Path(flag_values.like)
    with naming_errors(like):
        written = (pq.read_schema(like).metadata or {}).get(METADATA)
    if written is None:
        raise ValueError(f"--like={like}: it was not written by this command.")
    found = json.loads(written)
    if found["dimension"] != vectors.dimension:
        raise ValueError(
            f"--like={like}: it was made of vectors of {found['dimension']} numbers. "
            f"Received: vectors of {vectors.dimension}."
        )
    center = found["center"]
    return Hashing(found["bits"], found["seed"], None if center is None else np.array(center, np.float64))


def _mean(vectors: VectorFile) -> npt.NDArray[np.float64]:
    total, count = np.zeros(vectors.dimension), 0
    for piece in vectors.pieces():
        finite = piece[np.isfinite(piece).all(axis=1) & (piece != 0).any(axis=1)].astype(np.float64)
        with np.errstate(over="ignore", invalid="ignore"):
            total += finite.sum(axis=0)
        count += len(finite)
    if not np.isfinite(total).all():
        raise ValueError("--center: the vectors are too large to be added up. Divide them by a common number first.")
    return total / max(count, 1)


def _write(vectors: VectorFile, how: Hashing, file: Path, *, column: str, sample: int) -> Hashed:
    normals = projections(how.bits, dimension=vectors.dimension, seed=how.seed)
    rows = len(vectors.ids)
    chosen = np.sort(np.random.default_rng(how.seed).choice(rows, min(sample, rows), replace=False))
    center = None if how.center is None else how.center.tolist()
    about = {"bits": how.bits, "seed": how.seed, "dimension": vectors.dimension, "center": center}
    schema = pa.schema(
        [(vectors.id_column, vectors.ids.type), (column, pa.list_(pa.int8()))], metadata={METADATA: json.dumps(about)}
    )
    start = not_finite = missing = ones = 0
    sampled, sampled_bits = [], []
    with pq.ParquetWriter(file, schema) as writer:
        for piece in vectors.pieces():
            bits = sign_bits(piece, normals=normals, center=how.center)
            known = bits[:, 0] >= 0
            ids = vectors.ids.slice(start, len(piece))
            writer.write_batch(pa.record_batch([ids, _lists(bits, known)], schema=schema))
            not_finite += int((~np.isfinite(piece).all(axis=1)).sum())
            missing += int((~known).sum())
            ones += int((bits > 0).sum())
            here = chosen[np.searchsorted(chosen, start) : np.searchsorted(chosen, start + len(piece))] - start
            here = here[known[here]]
            sampled.append(piece[here].astype(np.float64) - (0.0 if how.center is None else how.center))
            sampled_bits.append(bits[here])
            start += len(piece)
    return Hashed(
        rows=rows,
        not_finite=not_finite,
        without_direction=missing - not_finite,
        ones=ones / max((rows - missing) * how.bits, 1),
        sample=np.concatenate(sampled),
        sample_bits=np.concatenate(sampled_bits),
    )


def _lists(bits: npt.NDArray[np.int8], known: npt.NDArray[np.bool_]) -> pa.Array:
    ends = np.concatenate([[0], np.cumsum(known)]) * bits.shape[1]
    values = pa.array(bits[known].ravel())
    return pa.ListArray.from_arrays(pa.array(ends, pa.int32()), values, mask=pa.array(~known))


def run(argv: Sequence[str] | None = None) -> None:
    """Runs the command line."""
    flag_values = new_flags()
    at: dict[str, Any] = {"flag_values": flag_values}
    flags.DEFINE_string("input", None, "Vectors: .npy [n, D], or Parquet with a column of lists.", required=True, **at)
    flags.DEFINE_string("output", None, "Parquet file to write.", required=True, **at)
    flags.DEFINE_string("ids", None, "Ids of the vectors of an .npy file, an .npy [n]. By default row numbers.", **at)
    flags.DEFINE_string(
        "id_column",
        None,
        "Column of the ids; for .npy their name in the output, item_id by default. May be left out for Parquet with "
        "one column in addition to the vectors.",
        **at,
    )
    flags.DEFINE_string("vector_column", None, "Column of the vectors, if Parquet has several columns of lists.", **at)
    flags.DEFINE_string("column", "bits", "Column of the bits in the output.", **at)
    flags.DEFINE_integer("bits", None, f"Bits of a HashID. By default {_DEFAULT_BITS}.", 1, 65_536, **at)
    flags.DEFINE_integer("seed", None, f"Of the hyperplanes. By default {_DEFAULT_SEED}.", 0, 2**32 - 1, **at)
    flags.DEFINE_bool("center", False, "Subtract the mean vector first.", **at)
    flags.DEFINE_string("like", None, "An earlier output whose bits, seed and centre to take.", **at)
    flags.DEFINE_integer("sample", 1_000, "Vectors whose pairs are measured.", 2, 20_000, **at)
    flags.DEFINE_string("json", None, "File for what was measured.", **at)
    flags.DEFINE_bool("overwrite", False, "Replace --output if it is there already.", **at)
    run_command(lambda: hash_id(flag_values), flag_values=flag_values, argv=argv)


if __name__ == "__main__":
    run()
