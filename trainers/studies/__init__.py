"""Studies: many runs of one plan, compared, and written down as they came out.

May import: analysis, data, layers, models, trainers/config, trainers/evaluation, trainers/run, trainers/training.
"""
