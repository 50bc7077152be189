"""The controls that come with fullrank, in the order of the papers."""

from __future__ import annotations

from typing import Final

from fullrank.trainers.controls.doubts import DOUBTS
from fullrank.trainers.controls.embeddings import EMBEDDINGS
from fullrank.trainers.controls.encoders import ENCODERS
from fullrank.trainers.controls.learning import LEARNING
from fullrank.trainers.controls.plan import Control

CONTROLS: Final[dict[str, Control]] = {
    control.name: control for control in (*ENCODERS, *EMBEDDINGS, *LEARNING, *DOUBTS)
}
