"""Searches: many runs whose flags Optuna chooses, each from the results of the earlier runs.

May import: analysis, data, layers, models, trainers/config, trainers/run, trainers/studies, trainers/training,
trainers/training/callbacks.
"""
