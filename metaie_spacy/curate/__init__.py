"""Annotations -> train, dev and test."""
