"""Planted worlds: endless examples from known truths; one file per mechanism that a part of a paper is made for.

May import: data/content, data/schema, data/writing.
"""
