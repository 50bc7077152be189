"""Uses of a trained model: evaluation, prediction, export and scoring of requests.

May import: analysis, data, models, trainers/run, trainers/training.
"""
