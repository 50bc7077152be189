"""Part of fullrank."""
