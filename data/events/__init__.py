"""Streams of events: their files, how a growing directory of them is read, and simulated delays of conversions.

May import: data/files, data/records, data/schema.
"""
