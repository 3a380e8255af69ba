"""Many texts: one callable for every engine that maps over batches, and files as shards."""

from .extractor import Extractor
from .run import extract_files

__all__ = ["Extractor", "extract_files"]
