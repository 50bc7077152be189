"""Uses of a trained model: evaluating, predicting, exporting and scoring requests.

May import: analysis, data, models, trainers/run, trainers/training.
"""
