"""The directory of a run: configuration, checkpoints, best weights, logs.

May import: data, layers/remote_rows.py, trainers/config.
"""
