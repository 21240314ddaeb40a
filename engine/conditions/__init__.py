"""The conditions: a file per kind, each with its document, its feature, its verdict and its description."""
