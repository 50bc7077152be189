"""The objective of a model: losses of its tasks, weights of examples, and their sum.

May import: data, layers, models/heads, models/metrics, models/objectives, models/options, models/wirings.
"""
