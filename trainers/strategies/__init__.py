"""Training on several devices and machines: strategies, what they are not for, and a local cluster to try them.

May import: data, trainers/config.
"""
