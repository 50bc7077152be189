"""Studies: many runs of one plan, compared and reported.

May import: analysis, data, layers, models, trainers/config, trainers/evaluation, trainers/run, trainers/training.
"""
