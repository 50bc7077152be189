"""What a cascade is made of, and how it is evaluated."""

from __future__ import annotations

import dataclasses

from fullrank.models.options.setting import REQUIRED, check_settings, setting

_KEPT = 100


@dataclasses.dataclass(frozen=True, kw_only=True)
class CascadeConfig:
    """Which runs are put together, how many ads each stage keeps, and on what the whole is evaluated."""

    retrieval: str = setting(REQUIRED, "Run directory of `fullrank retrieve`.")
    rank: str = setting(REQUIRED, "Run directory of `fullrank train`: the ranker.")
    output: str = setting(REQUIRED, "Directory of the export; each version is a directory below it.")
    prerank: str | None = setting(None, "Run directory of `fullrank prerank`; without it all retrieved ads are ranked.")
    ads: str | None = setting(
        None,
        "Parquet file of the ads, with the columns of the ad side that any stage reads, in place of the catalogue of "
        "the retrieval run. Its cells are read as convert reads them.",
    )
    retrieve: int = setting(500, "K1, ads that are retrieved.", minimum=1)
    keep: int | None = setting(
        None, "K2, ads that the pre-ranker lets through; 100 with one if not given, or K1 if that is less.", minimum=1
    )
    answer: int = setting(20, "K3, ads of an answer; K1 or K2 if that is less.", minimum=1)
    task: str | None = setting(
        None, "Output of the ranker that orders the answer; its first task that is not auxiliary if not given."
    )
    most_exclusions: int = setting(100, "Ads that a request may exclude.", minimum=1)
    parts: bool = setting(True, "Also write each stage as a SavedModel of its own, below parts/ of the version.")
    version: int | None = setting(None, "Version to write; the next one if not given.", minimum=1)
    data: str | None = setting(
        None, "Directory of the records to evaluate on; where retrieval was trained if not given."
    )
    split: str = setting("test", "Split whose first examples are the queries of the evaluation.")
    queries: int = setting(
        200,
        "Queries that the stages are evaluated on. The ranker scores the whole catalogue for each of them, to find "
        "what it would answer alone; 0 leaves the evaluation out.",
        minimum=0,
    )
    try_retrieve: tuple[int, ...] = setting(
        (), "Values of K1 to evaluate; a quarter and half of --retrieve and itself if none is given.", minimum=1
    )
    try_keep: tuple[int, ...] = setting(
        (), "Values of K2 to evaluate; a quarter and half of --keep and itself if none is given.", minimum=1
    )
    json: str | None = setting(None, "File to write the evaluation to.")

    def __post_init__(self) -> None:
        """Validates the settings."""
        check_settings(self)
        if self.prerank is None and (self.keep is not None or self.try_keep):
            raise ValueError("--keep and --try_keep have no effect without --prerank: leave them out, or name its run.")
        if self.keep is not None and self.keep > self.retrieve:
            raise ValueError(f"--keep={self.keep} is more than --retrieve={self.retrieve} ads can leave.")
        if not self.grid():
            raise ValueError("--try_keep names no number of ads that any of --try_retrieve can leave.")
        if self.json is not None and not self.queries:
            raise ValueError("--json writes the evaluation, which --queries=0 leaves out.")

    @property
    def kept(self) -> int:
        """K2; K1 without a pre-ranker."""
        if self.prerank is None:
            return self.retrieve
        return min(_KEPT, self.retrieve) if self.keep is None else self.keep

    @property
    def answered(self) -> int:
        """K3."""
        return min(self.answer, self.kept)

    def grid(self) -> tuple[tuple[int, int], ...]:
        """The pairs of K1 and K2 that are evaluated, K2 at most K1."""
        first = self.try_retrieve or _parts(self.retrieve)
        if self.prerank is None:
            return tuple((k, k) for k in first)
        return tuple((one, two) for one in first for two in (self.try_keep or _parts(self.kept)) if two <= one)


def _parts(number: int) -> tuple[int, ...]:
    return tuple(sorted({max(1, number // 4), max(1, number // 2), number}))
