"""Figures of an evaluation, written as PNG.

May import: analysis/comparisons, analysis/policies, data.
"""

from __future__ import annotations

from fullrank.analysis.figures.negative_gradients import negative_gradient_lines
from fullrank.analysis.figures.reliability import reliability_diagram, roc_curve
from fullrank.analysis.figures.segments import segment_bars, segment_gains

__all__ = ["negative_gradient_lines", "reliability_diagram", "roc_curve", "segment_bars", "segment_gains"]
