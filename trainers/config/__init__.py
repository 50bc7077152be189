"""What a command is told, as frozen data, and the flags and JSON that are derived from it.

May import: data, models.
"""
