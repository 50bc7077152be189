"""The directory of a run: configuration, checkpoints, best weights, logs.

May import: data, layers, trainers/config.
"""
