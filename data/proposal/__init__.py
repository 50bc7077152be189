"""The schema that `infer` proposes for a table, from a sample of its rows, and its reasons.

May import: data/files, data/schema, data/tables.
"""
