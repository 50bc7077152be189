"""Commands that inspect a trained model: its groups, conflicts of its tasks, replayed exposures.

May import: analysis, data, models, trainers/evaluation, trainers/run, trainers/training.
"""
