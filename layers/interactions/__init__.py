"""Layers that combine the embeddings of fields, one per kind of expert.

May import: layers/checks, layers/dense.py, layers/dropout.py, layers/split_fields.py.
"""
