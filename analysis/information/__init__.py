"""Mutual information of features and behaviours with a label, counted over records ([Tencent] §7.1).

May import: analysis/figures, analysis/inputs, data.
"""
