"""Turns the outputs of towers into those of tasks: logits, values, chains and uncertainty.

May import: data, layers, models/objectives, models/options, models/wirings.
"""
