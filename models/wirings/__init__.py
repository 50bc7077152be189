"""Which sets, experts, gates and towers a model has, as data: the papers' models and their relatives.

May import: data.
"""
