"""Reads embedding tables from files of any origin.

May import: data.
"""

from __future__ import annotations

from fullrank.analysis.inputs.open_input import Input, TableSource, open_input

__all__ = ["Input", "TableSource", "open_input"]
