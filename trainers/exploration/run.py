"""Runs policies on the chosen data, and writes report, numbers and figures."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from fullrank.data.files.write_aside import write_text
from fullrank.trainers.exploration.campaign import explore_hillstrom
from fullrank.trainers.exploration.config import MEANS_NOTHING, ExploreConfig
from fullrank.trainers.exploration.regret import explore_simulator
from fullrank.trainers.exploration.values import explore_obd
from fullrank.trainers.run.run_directory import write_json

REPORT: Final = "report.md"
_OPERATIONAL: Final = ("output", "policies", "baseline", "first_seed", "seeds", "raw_dir", "json")
_RUNS: Final = {"simulator": explore_simulator, "hillstrom": explore_hillstrom, "obd": explore_obd}


def explore_run(config: ExploreConfig) -> dict[str, Any]:
    """Computes the missing results, and writes report and figures.

    Returns:
      The numbers of the report.

    Raises:
      ValueError: If the output holds results of other settings, or the data cannot be used.
      FileNotFoundError: If there is no such data.
    """
    apart = (*_OPERATIONAL, *MEANS_NOTHING[config.dataset])
    settings = {name: value for name, value in vars(config).items() if name not in apart}
    text, numbers = _RUNS[config.dataset](config, settings=settings)
    write_text(Path(config.output) / REPORT, text)
    if config.json is not None:
        write_json({"dataset": config.dataset, "results": numbers}, Path(config.json))
    print(text)
    return numbers
