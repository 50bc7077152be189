"""The value of a policy, or of a penalty, from logs of another one.

May import: analysis/comparisons.
"""
