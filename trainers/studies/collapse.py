"""Studies of dimensional collapse: which interaction causes it, and how models grow ([Tencent] §4, §7.2)."""

from __future__ import annotations

from typing import Final

from fullrank.trainers.studies.plan import SMALL_DATA, Study

_FLAGS: Final = (*SMALL_DATA, "--gate=mean", "--epochs=6", "--patience=1", "--sequence=mean")
_BASE: Final = 16
_TIMES: Final = (2, 4, 10)


def _me(kind: str, sets: int, width: int) -> tuple[str, ...]:
    """Sets of equal width, each with an expert of that kind."""
    experts = ",".join(f"{kind}:{number}" for number in range(sets))
    return ("--model=me", f"--widths={','.join([str(width)] * sets)}", f"--experts={experts}")


_INTERACTIONS: Final = Study(
    name="collapse",
    question="Do plain products collapse embeddings, and do projections and several sets help ([Tencent] §4)?",
    flags=_FLAGS,
    baseline="fm",
    variants={
        "fm": _me("fm", 1, 32),
        "fm 2 sets": _me("fm", 2, 16),
        "fm 4 sets": _me("fm", 4, 8),
        "fmfm": _me("fmfm", 1, 32),
        "crossnet": _me("crossnet", 1, 32),
        "fvfm": _me("fvfm", 1, 32),
        "fwfm": _me("fwfm", 1, 32),
        "gwpfm": _me("gwpfm", 1, 32),
        "ipnn": _me("ipnn", 1, 32),
        "ipnn 2 sets": _me("ipnn", 2, 16),
        "flat": _me("flat", 1, 32),
        "gwpfm + flat + ipnn": ("--model=me", "--widths=16,16", "--experts=gwpfm:0,flat:0,ipnn:1"),
    },
    expected={
        "fm 2 sets": "better",
        "fm 4 sets": "better",
        "fmfm": "better",
        "crossnet": "better",
    },
    metrics=("ia", "ia_share", "auc", "ne"),
)


def _scaling(kind: str) -> Study:
    variants = {f"1 set x{times}": _me(kind, 1, _BASE * times) for times in (1, *_TIMES)}
    variants |= {f"{times} sets x{times}": _me(kind, times, _BASE) for times in _TIMES}
    return Study(
        name=f"scaling_{kind}",
        question=f"Do more sets use more parameters where a wider one does not ([Tencent] §4.2), with {kind} experts?",
        flags=_FLAGS,
        baseline="1 set x1",
        variants=variants,
        expected={f"{times} sets x{times}": "better" for times in _TIMES},
        metrics=("auc", "ne", "ia", "ia_share"),
    )


COLLAPSE: Final = (_INTERACTIONS, *(_scaling(kind) for kind in ("fm", "crossnet", "flat")))
