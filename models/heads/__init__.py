"""From what towers say to the outputs of tasks: logits, values, chains and uncertainty.

May import: data, layers, models/objectives, models/options, models/wirings.
"""
