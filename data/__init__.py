"""Schemas, records and pipelines: from a user's tables to batches of named tensors."""
