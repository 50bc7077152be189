"""What embedding tables look like: spectra, collapse, diversity and entanglement.

May import: analysis/figures, analysis/inputs, data.
"""
