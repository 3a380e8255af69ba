"""Many texts: one callable for every engine that maps over batches, and files as shards."""

from .extractor import Extractor

__all__ = ["Extractor"]
