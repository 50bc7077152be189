"""When something that happens every few steps is due."""

from __future__ import annotations


class Milestones:
    """Tells which steps of an epoch pass a multiple of `every`.

    Counted from the start of the epoch, so that a resumed run does everything at the steps at which one that was never
    interrupted does it; and passed rather than met, because one call of the compiled function may take several steps.

    Args:
      every: Steps between milestones.
    """

    def __init__(self, every: int) -> None:
        self._every = every
        self._step = 0

    def start(self, step: int) -> None:
        """Begins an epoch, or goes on with it after `step` steps."""
        self._step = step

    def passed(self, step: int) -> bool:
        """Whether a milestone lies after the step asked about before, up to `step`."""
        before, self._step = self._step, step
        return step // self._every > before // self._every
