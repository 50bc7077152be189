"""Reads record files as batches of tensors, and finds or skips what is bad in them.

May import: data/files, data/records, data/schema.
"""
