"""Reading embedding tables out of files, whoever wrote them.

May import: data.
"""

from __future__ import annotations

from fullrank.analysis.inputs.open_input import Input, TableSource, open_input

__all__ = ["Input", "TableSource", "open_input"]
