"""The value of a policy, or of a penalty, from logs of another policy.

May import: analysis/comparisons.
"""
