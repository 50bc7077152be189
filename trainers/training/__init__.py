"""From a configuration to a trained model.

May import: data, layers, models, trainers/config, trainers/run, trainers/training/callbacks.
"""
