"""Texts of a JSONL file."""

import json
import random
from pathlib import Path
from typing import Iterator

from benchmarks.lib.paths import CORPUS

SENTENCE = "Ada Lovelace, born 10 December 1815, worked with Charles Babbage."


def texts_of(path: Path, limit: int = 0) -> list[str]:
    """The first texts; limit 0: all."""
    with path.open(encoding="utf8") as lines:
        return [json.loads(line)["text"] for line in lines][: limit or None]


def drawn_texts(path: Path, number: int) -> list[str]:
    """Some texts, drawn at random, in every run the same."""
    texts = texts_of(path)
    return random.Random(0).sample(texts, min(number, len(texts)))


def sentences(seed: int) -> Iterator[str]:
    """Endless sentences, each with a new word or two."""
    rng = random.Random(seed)
    found = [s.strip() for text in texts_of(CORPUS) for s in text.split(". ") if len(s) > 20]
    while True:
        words = rng.choice(found).split()
        for _ in range(2):
            words[rng.randrange(len(words))] = "".join(
                rng.choices("abcdefghijklmnopqrstuvwxyz", k=rng.randint(4, 10))
            ).capitalize()
        yield " ".join(words)
