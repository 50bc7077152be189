"""Searches: many runs whose flags Optuna chooses, each from what the runs before it came to.

May import: analysis, data, layers, models, trainers/config, trainers/run, trainers/studies, trainers/training.
"""
