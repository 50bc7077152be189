"""Callbacks between steps and epochs: saving, stopping, measuring, reporting.

May import: analysis, data, layers/remote_rows.py, models, trainers/run.
"""
