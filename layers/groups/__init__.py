"""Groups that a model learns ([Meta] §3.1): residual quantisation, and the autoencoder around it.

May import: layers/checks, layers/dense.py.
"""
