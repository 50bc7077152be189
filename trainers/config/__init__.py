"""Configurations of commands as frozen data, and the flags and JSON that are derived from them.

May import: data, models.
"""
