"""Layers over behaviour sequences ([Tencent] §3.1): with the target ad, with time, or with neither.

May import: layers/checks, layers/dense.py, layers/numbers.
"""
