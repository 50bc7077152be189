"""From experts to answers: experts, gates, towers and heads.

May import: layers/checks, layers/dense.py.
"""
