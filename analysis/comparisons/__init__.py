"""Two models or policies on the same rows: intervals by bootstrap, paired gains, tables.

May import: analysis/inputs, data.
"""
