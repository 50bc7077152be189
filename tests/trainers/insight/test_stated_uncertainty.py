"""Groups of examples by how sure a model says it is."""

from __future__ import annotations

import numpy as np
import pytest

from fullrank.trainers.insight.stated_uncertainty import groups_of


def test_the_surest_come_first() -> None:
    rows = np.array([[0.3, 0.6, 1.0, 1.0], [0.1, 0.2, 0.0, 1.0], [0.2, 0.4, 1.0, 1.0], [0.4, 0.5, 0.0, 1.0]])
    first, second = groups_of(rows, groups=2)
    # Deviations .1 and .2 are the surer half: their means are .15, .3 predicted and .5 observed.
    assert first == pytest.approx({"examples": 2, "deviation": 0.15, "predicted": 0.3, "observed": 0.5})
    assert second == pytest.approx({"examples": 2, "deviation": 0.35, "predicted": 0.55, "observed": 0.5})


def test_means_are_weighted() -> None:
    """Of .1 and .4 with weights 1 and 2: a mean of .3, and 3^2 / (1 + 4) = 1.8 examples."""
    (group,) = groups_of(np.array([[0.1, 0.1, 0.0, 1.0], [0.4, 0.4, 1.0, 2.0]]), groups=1)
    assert group == pytest.approx({"examples": 1.8, "deviation": 0.3, "predicted": 0.3, "observed": 2 / 3})
