"""What `infer` proposes of a table, from a sample of it, and why.

May import: data/schema, data/tables.
"""
