"""Builds and trains a model from a configuration.

May import: data, layers, models, trainers/config, trainers/run, trainers/strategies,
trainers/training/callbacks.
"""
