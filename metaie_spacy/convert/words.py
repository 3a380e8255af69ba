"""Texts as words, and tags on words."""

import re
from bisect import bisect_left, bisect_right
from functools import lru_cache
from typing import Any, Callable, Iterator, Sequence

from ..data.items import blank_tokenizer
from .records import Skipped

TAG = re.compile(r"O|[BILUESM]-.*\S.*", re.DOTALL)
AS_BILUO = {"E": "L", "S": "U", "M": "I"}  # BIOES and BMES call the same things by other letters
Tokenize = Callable[[str], list[tuple[int, int]]]


@lru_cache(maxsize=8)
def tokenizer(lang: str) -> Tokenize:
    """spaCy's tokenizer of a language, made once."""
    return blank_tokenizer(lang)


def joined(words: Sequence[str]) -> tuple[str, list[tuple[int, int]]]:
    """The words with a space between them, and their places.

    RAISES (Skipped): one is no word.
    """
    places, at = [], 0
    for number, word in enumerate(words, 1):
        if not isinstance(word, str) or not word.strip():
            raise Skipped("bad row", f"token {number} is {word!r}, which is no word.")
        places.append((at, at + len(word)))
        at += len(word) + 1
    return " ".join(words), places


def found_in(text: str, words: Sequence[str]) -> list[tuple[int, int]] | None:
    """The places of the words in a text that holds them in this order and nothing else but white space, else None."""
    places, at = [], 0
    for word in words:
        while at < len(text) and text[at].isspace():
            at += 1
        if not text.startswith(word, at):
            return None
        places.append((at, at + len(word)))
        at += len(word)
    return places if not text[at:].strip() else None


def as_biluo(tag: str) -> str:
    """A tag of any scheme in the letters of BILUO."""
    return AS_BILUO.get(tag[0], tag[0]) + tag[1:]


def tagged(tags: list[str]) -> Iterator[tuple[int, int, str]]:
    """First and last token and label of every entity: any tag but O begins one, an I or L of its label goes on with it.

    As `spacy.training.iob_to_biluo` has it, which takes the square of their number.
    """
    first = None
    for i, tag in enumerate([*tags, "O"]):
        if first is not None and (tag[0] not in "IL" or tag[1:] != tags[first][1:]):
            yield first, i - 1, tags[first][2:]
            first = None
        if first is None and tag != "O":
            first = i


def spans_on(places: list[tuple[int, int]], found: Iterator[tuple[int, int, str]]) -> list[dict]:
    """Spans of characters of those from a first to a last word."""
    return [{"start": places[first][0], "end": places[last][1], "label": label} for first, last, label in found]


def words_of(row: dict, tokenize: Tokenize) -> tuple[list[str], list[tuple[int, int, str]]]:
    """Words of a row's text, cut at the ends of its spans, and its spans as first and last word and label."""
    tokens = [token for token in tokens_around(row["text"], row["spans"], tokenize) if token["text"].strip()]
    starts, ends = [token["start"] for token in tokens], [token["end"] for token in tokens]
    return [token["text"] for token in tokens], [
        (bisect_left(starts, span["start"]), bisect_left(ends, span["end"]), span["label"]) for span in row["spans"]
    ]


def apart(found: list[tuple[int, int, str]]) -> list[tuple[int, int, str]]:
    """The longest (then earliest) of those that overlap, whatever their labels, in order."""
    taken: set[int] = set()
    kept = []
    for first, last, label in sorted(found, key=lambda spot: (spot[0] - spot[1], spot)):
        if first not in taken and last not in taken:
            taken.update(range(first, last + 1))
            kept.append((first, last, label))
    return sorted(kept)


def tokens_around(text: str, spans: list[dict], tokenize: Tokenize) -> list[dict[str, Any]]:
    """Prodigy's tokens: those of spaCy, cut at the ends of the spans, since Prodigy drops a span that does not align.

    The space behind a token is a token only if a span starts with it or ends after it.
    """
    words = tokenize(text)
    ends = sorted({place for span in spans for place in (span["start"], span["end"])})
    starts, stops = {span["start"] for span in spans}, {span["end"] for span in spans}
    tokens: list[dict[str, Any]] = []
    for i, (start, end) in enumerate(words):
        follows = words[i + 1][0] if i + 1 < len(words) else len(text)
        cuts = [start, *ends[bisect_right(ends, start) : bisect_left(ends, end)], end]
        pieces = [(a, b, False) for a, b in zip(cuts, cuts[1:])]
        if follows > end and (end in starts or follows in stops):
            pieces.append((end, follows, False))
        elif follows > end:
            pieces[-1] = (*pieces[-1][:2], True)
        tokens += [
            {"text": text[a:b], "start": a, "end": b, "id": len(tokens) + n, "ws": ws}
            for n, (a, b, ws) in enumerate(pieces)
        ]
    return tokens
