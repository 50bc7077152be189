"""Controls: a claim of the papers where theory says that it must hold, and where it must not, on planted worlds.

May import: analysis, data, layers, models, trainers/config, trainers/studies, trainers/training.
"""
