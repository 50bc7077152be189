"""Callbacks between steps and epochs: saving, stopping, measuring, reporting.

May import: analysis, data, layers, models, trainers/run.
"""
