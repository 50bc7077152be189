"""From record files to batches of tensors, and around what is bad in them.

May import: data/files, data/records, data/schema.
"""
