"""Public data sets and a synthetic one, each turned into a schema and the rows of its splits.

May import: data/content, data/files, data/schema, data/tables.
"""
