"""The description of a data set: features, labels, keys and splits, as data, JSON and text; vocabularies; value rules.

May import: data/command, data/content, data/files.
"""
