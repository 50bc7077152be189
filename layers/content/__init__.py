"""Layers that describe an ad: bits of its content, vectors that were trained elsewhere, and neighbours in a graph.

May import: layers/checks, layers/dense.py, layers/numbers.
"""
