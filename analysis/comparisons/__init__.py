"""Two models or policies on the same rows: intervals by bootstrap, paired gains, tables.

May import: data.
"""
