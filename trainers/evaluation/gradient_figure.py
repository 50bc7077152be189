"""The figure of the gradients that `--log_gradients` recorded ([Tencent] §6.1)."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from fullrank.analysis.figures import negative_gradient_lines
from fullrank.trainers.run.metrics_log import MetricsLog
from fullrank.trainers.training.load_run import LoadedRun

_PREFIX: Final = "negative_gradient/"


def draw_gradients(loaded: LoadedRun, *, directory: Path) -> Path | None:
    """Draws the mean gradient on logits of negatives over the epochs, one line per loss.

    Args:
      loaded: The run.
      directory: Where to write.

    Returns:
      The figure; `None` if the run did not log gradients, or has none above 0.
    """
    epochs = [line for line in MetricsLog(loaded.directory.metrics_file).lines() if line["kind"] == "epoch"]
    names = [name for name in (epochs[0] if epochs else {}) if name.startswith(_PREFIX)]
    lines = {name.removeprefix(_PREFIX): [float(epoch.get(name) or 0.0) for epoch in epochs] for name in names}
    if not any(value > 0 for line in lines.values() for value in line):
        return None
    outputs = loaded.model.outputs
    task = outputs.tasks[outputs.binary[0]]
    path = directory / f"{task}_negative_gradients.png"
    negative_gradient_lines(gradients=lines, base_rate=outputs.label(task).mean, task=task, path=path)
    return path
