"""The two record layouts as bytes.

May import: data/schema.
"""
