"""Public data sets and a synthetic one, each turned into a schema and the rows of its splits.

May import: data/features.py, data/naming_errors.py, data/schema.py, data/scratch.py, data/sign_bits.py,
data/text_files.py, data/write_aside.py.
"""
