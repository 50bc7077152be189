"""Layers on behaviour sequences ([Tencent] §3.1): with the target ad, with time, or without either.

May import: layers/checks, layers/dense.py, layers/numbers.
"""
