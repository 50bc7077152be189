"""What a data set is: features, labels, keys and splits, as data, as JSON and in words; vocabularies; rules of values.

May import: data/command, data/content, data/files.
"""
