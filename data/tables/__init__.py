"""A user's tables, read by DuckDB: files, joins, expressions, histories, and what each cell means.

May import: data/command, data/files, data/records, data/schema.
"""
