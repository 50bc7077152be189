"""Analyses of trained models, from arrays and saved files of any origin."""

from __future__ import annotations

from fullrank.analysis.comparisons.paired_gain import PairedGain, SegmentGain, paired_gain
from fullrank.analysis.embeddings.collapse_results import Collapse, analyse_collapse
from fullrank.analysis.embeddings.diversity import Diversity, diversity, pair_projections, partner_singular_values
from fullrank.analysis.embeddings.spectrum import (
    Spectrum,
    effective_rank,
    information_abundance,
    participation_ratio,
    relative_abundance,
    spectrum,
    stable_rank,
)
from fullrank.analysis.inputs import Input, open_input
from fullrank.analysis.policies.exposure_replay import ExposureReplay, exposure_replay
from fullrank.analysis.policies.off_policy import PolicyValue, on_policy_value, policy_values

__all__ = [
    "Collapse",
    "Diversity",
    "ExposureReplay",
    "Input",
    "PairedGain",
    "PolicyValue",
    "SegmentGain",
    "Spectrum",
    "analyse_collapse",
    "diversity",
    "effective_rank",
    "exposure_replay",
    "information_abundance",
    "on_policy_value",
    "open_input",
    "pair_projections",
    "paired_gain",
    "participation_ratio",
    "partner_singular_values",
    "policy_values",
    "relative_abundance",
    "spectrum",
    "stable_rank",
]
