"""Planted worlds: examples drawn without end from known truths, one file a mechanism that a paper's part is made for.

May import: data/content, data/schema, data/writing.
"""
