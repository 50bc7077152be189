"""Searches: many runs whose flags Optuna chooses, each from what the runs before it came to.

May import: data, models, trainers/config, trainers/run, trainers/training.
"""
