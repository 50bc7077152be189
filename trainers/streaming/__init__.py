"""Online learning from events whose conversions come late and in bursts ([Tencent] §6.3).

May import: nothing of fullrank.
"""
