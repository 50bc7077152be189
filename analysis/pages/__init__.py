"""The report of a run: the results in its files, as one page.

May import: analysis/comparisons, analysis/embeddings, analysis/figures, analysis/inputs.
"""
