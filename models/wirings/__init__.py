"""The sets, experts, gates and towers of a model as data: the papers' models and their relatives.

May import: data.
"""
