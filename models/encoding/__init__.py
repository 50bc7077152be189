"""From a batch of raw columns to the rows and weights that embedding sets look up.

May import: data, layers, models/options.
"""
