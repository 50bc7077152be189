"""Encodings of numbers ([Tencent] §3.2): numeral systems, buckets and their relatives.

May import: layers/checks, layers/remote_rows.py.
"""
