"""What every command has: flags, help, one line per error, and a quiet TensorFlow.

May import: data/files.
"""
