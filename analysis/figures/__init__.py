"""Figures of an evaluation, written as PNG."""

from __future__ import annotations

from fullrank.analysis.figures.negative_gradients import negative_gradient_lines
from fullrank.analysis.figures.reliability import reliability_diagram
from fullrank.analysis.figures.roc import roc_curve
from fullrank.analysis.figures.segment_gains import segment_gains
from fullrank.analysis.figures.segments import segment_bars

__all__ = ["negative_gradient_lines", "reliability_diagram", "roc_curve", "segment_bars", "segment_gains"]
