"""Training and evaluation of two-tower retrieval models.

May import: analysis, data, models, trainers/config, trainers/run, trainers/training, trainers/training/callbacks.
"""
