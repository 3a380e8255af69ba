"""Texts of a JSONL file."""

import json
import random
from pathlib import Path


def texts_of(path: Path, limit: int = 0) -> list[str]:
    """The first texts; limit 0: all."""
    with path.open(encoding="utf8") as lines:
        return [json.loads(line)["text"] for line in lines][: limit or None]


def drawn_texts(path: Path, number: int) -> list[str]:
    """Some texts, drawn at random, in every run the same."""
    texts = texts_of(path)
    return random.Random(0).sample(texts, min(number, len(texts)))
