"""From experts to predictions: experts, gates, towers and heads.

May import: layers/checks, layers/dense.py, layers/dropout.py, layers/split_fields.py.
"""
