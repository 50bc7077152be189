"""Groups that a model learns on its way ([Meta] §3.1): residual quantisation and what it is wired into.

May import: layers/checks, layers/dense.py.
"""
