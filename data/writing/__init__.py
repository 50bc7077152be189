"""Writes rows as a data set on disk: splits, statistics, vocabularies, shards.

May import: data/files, data/records, data/schema, data/tables.
"""
