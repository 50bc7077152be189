"""Encodes a batch of raw columns as the rows and weights that embedding sets look up.

May import: data, layers, models/options.
"""
