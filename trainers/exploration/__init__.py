"""Simulations and replays of policies that explore ([Tencent] §6.4).

May import: analysis, data, models, trainers/run, trainers/studies.
"""
