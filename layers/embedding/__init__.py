"""Embedding sets and the plan of their lookups.

May import: layers/checks, layers/remote_rows.py.
"""
