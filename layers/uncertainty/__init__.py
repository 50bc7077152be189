"""Heads with uncertainty ([Tencent] §6.4): Gaussian processes and their cheaper relatives.

May import: layers/checks, layers/groups, layers/legacy_keras.py, layers/mixture, layers/replicas.py.
"""
