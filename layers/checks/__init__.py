"""Arguments and inputs of layers, checked before TensorFlow sees them.

May import: nothing of fullrank.
"""
