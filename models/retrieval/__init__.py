"""Two-tower retrieval: vectors of queries and ads whose product ranks a whole catalogue ([Tencent] §2, [Meta] §4).

May import: data, layers, models/encoding, models/objectives, models/options, models/serving, models/set_inputs.py.
"""
