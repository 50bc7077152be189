"""What `infer` proposes for a table, from a sample of its rows, and why.

May import: data/schema, data/tables.
"""
