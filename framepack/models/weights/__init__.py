"""Weights: the catalogs, verified files, fetching, and networks made from them."""
