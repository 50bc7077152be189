"""Properties of embedding tables: spectra, collapse, diversity and entanglement.

May import: analysis/figures, analysis/inputs, data.
"""
