"""On a real Ray, started here: the callable in `map_batches`, and files by its actors."""

import pytest
from helpers import SENTENCES
from test_files import read, write  # noqa: F401

from metaie_spacy.bulk import Extractor, extract_files
