"""Weights -> a package with a model card."""
