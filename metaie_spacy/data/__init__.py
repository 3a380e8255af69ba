"""Annotation rows and texts: what they are, how they are read and written."""
