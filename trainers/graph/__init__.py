"""Pre-training on the graph of clicks, from records to vectors ([Tencent] §3.3).

May import: data, models, trainers/run, trainers/training.
"""
