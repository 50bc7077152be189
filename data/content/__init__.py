"""Bits of content: codes of vectors (HashID, [Tencent] §3.2) and their distances.

May import: data/command.
"""
