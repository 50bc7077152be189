"""The parts that all commands share: flags, help, one line per error, and a quiet TensorFlow.

May import: data/files.
"""
