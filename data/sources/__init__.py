"""Public data sets and a synthetic one, each turned into a schema and the rows of its splits.

May import: data/schema/features.py, data/tables/naming_errors.py, data/schema/schema.py, data/files/scratch.py, data/content/sign_bits.py,
data/tables/text_files.py, data/files/write_aside.py.
"""
