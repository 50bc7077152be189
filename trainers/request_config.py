"""What scoring a request is told."""

from __future__ import annotations

import dataclasses
from typing import Literal

from fullrank.trainers.config.setting import REQUIRED, check_settings, setting


@dataclasses.dataclass(frozen=True, kw_only=True)
class RequestConfig:
    """Which export is asked, and what."""

    export: str = setting(REQUIRED, "Directory of an export: one version, or all of them, of which the last is asked.")
    json: str | None = setting(
        None, "File with the request, as TensorFlow Serving's REST interface takes it; - reads standard input."
    )
    signature: str | None = setting(
        None, "Signature to ask; the request's own signature_name, or serving_default, if not given."
    )
    example: int = setting(0, "Print an example request of this many rows, and ask nothing.", minimum=0)
    format: Literal["row", "column"] = setting(
        "row", "Form of the example: instances, one object per row, or inputs, one list per column."
    )

    def __post_init__(self) -> None:
        """Validates the settings."""
        check_settings(self)
        if not self.export:
            raise ValueError("--export cannot be empty.")
        if (self.json is None) == (self.example == 0):
            raise ValueError(
                "Give either --json=FILE, the request to score, or --example=N, to print an example request of N rows."
            )
