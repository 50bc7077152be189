"""Conversion on Apache Beam: the steps of the local conversion, each for one file, one group of keys or one shard.

Only `pipelines.py` imports Apache Beam. Steps exchange files in the scratch directory of the output.

May import: data/command, data/files, data/records, data/schema, data/tables, data/writing.
"""
