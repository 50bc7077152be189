"""Earlier exposures of a user to an ad ([Tencent] §6.2): how they are declared and counted.

May import: data/command, data/files, data/schema, data/tables.
"""
