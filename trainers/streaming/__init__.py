"""Online learning from events whose conversions come late and in bursts ([Tencent] §6.3).

May import: analysis, data, layers, models, trainers/config, trainers/run, trainers/studies, trainers/training.
"""
