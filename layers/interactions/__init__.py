"""Layers that combine the embeddings of fields, one kind of expert each.

May import: layers/checks, layers/dense.py.
"""
