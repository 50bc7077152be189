"""Layers on what an ad is: bits of its content, vectors that were trained elsewhere, and neighbours in a graph.

May import: layers/checks, layers/dense.py, layers/numbers.
"""
