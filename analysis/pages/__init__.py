"""The report of a run: what its files tell, as one page.

May import: analysis/comparisons, analysis/embeddings, analysis/figures, analysis/inputs.
"""
