"""From the outputs of towers to those of tasks: logits, values, chains and uncertainty.

May import: data, layers, models/objectives, models/options, models/wirings.
"""
