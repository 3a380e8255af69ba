"""Texts that are there twice: by id, word for word, or nearly so."""

import re
from functools import lru_cache
from typing import TYPE_CHECKING, Callable, Iterable, Iterator, Sequence

from ..data.ledger import Ledger, Sourced

if TYPE_CHECKING:
    from datasketch import MinHash


SHINGLE = 5  # words
NUM_PERM = (
    128  # hash functions of a MinHash: its estimate of a likeness of 0.8 is off by 0.035 (one standard deviation)
)
MAX_ALIKE = 50  # texts that are found by one band of a MinHash; what more of them share tells no two apart
KEPT = 2_000  # characters of a text whose runs of words are kept for the next comparison
WORD = re.compile(r"\w+")


def words_of(text: str) -> list[str]:
    """The words of a text without case and punctuation."""
    return WORD.findall(text.casefold())


def collapsed(text: str) -> str:
    """The form under which two texts count as the same."""
    return " ".join(text.casefold().split())


def drop_repeated_ids(items: Iterable[Sourced], ledger: Ledger) -> list[Sourced]:
    """Of rows that share an id, those with the first one's text and each a teacher of its own are kept."""
    first: dict[str, Sourced] = {}
    teachers: set[tuple[str, str]] = set()
    kept = []
    for item in items:
        id, teacher = item.row["id"], item.row.get("teacher", "")
        known = first.setdefault(id, item)
        if known.row["text"] != item.row["text"]:
            ledger.drop_row(item, "id used twice", f"another text in {known.source_file}, line {known.line}")
        elif (id, teacher) in teachers:
            ledger.drop_row(item, "duplicate id", f"as in {known.source_file}, line {known.line}")
        else:
            teachers.add((id, teacher))
            kept.append(item)
    return kept


def drop_repeated_texts(items: Iterable[Sourced], ledger: Ledger) -> list[Sourced]:
    """The first of texts that differ in case and white space at most."""
    first: dict[str, str] = {}
    kept = []
    for item in items:
        key = collapsed(item.row["text"])
        if key in first:
            ledger.drop_row(item, "duplicate text", first[key])
        else:
            first[key] = item.row["id"]
            kept.append(item)
    return kept


class NearTexts:
    """Texts added one by one, found again by others that share most of their runs of five words.

    MinHash with banding (Broder 1997; Indyk and Motwani 1998) proposes, the true share decides.

    threshold (float): least Jaccard similarity of two texts' sets of word 5-grams, above 0.
    RAISES (ImportError): datasketch is missing.
    """

    def __init__(self, threshold: float):
        try:
            from datasketch import MinHash, MinHashLSH
        except ImportError:
            raise ImportError(
                "Near duplicates need the package 'datasketch': pip install metaie-spacy[project], "
                "or set near_duplicates and linked to 0."
            ) from None
        self.threshold = threshold
        self.texts: list[str] = []
        # Weights: a pair that is missed is lost, one that is proposed in vain costs some microseconds.
        bands = MinHashLSH(threshold=threshold, num_perm=NUM_PERM, weights=(0.1, 0.9))
        self._size = bands.r
        self._found: list[dict[bytes, list[int]]] = [{} for _ in range(bands.b)]  # of each band: its values -> texts
        self._empty = MinHash(num_perm=NUM_PERM, seed=1)

    def sketch(self, text: str) -> "MinHash | None":
        """The MinHash of a text; None for one without words, which is like no other."""
        shingles = shingles_of(text)
        if not shingles:
            return None
        sketch = self._empty.copy()
        sketch.update_batch([shingle.encode("utf8") for shingle in shingles])
        return sketch

    def near(self, text: str, sketch, unless: Callable[[int], bool] = lambda i: False) -> Iterator[int]:
        """The numbers of the added texts that are at least `threshold` alike, in order.

        Of the texts that share a band with more than 50 before them, only those that share another are found.
        unless (Callable): numbers for which it holds when their turn comes are passed over.
        """
        proposed = sorted({i for texts, band in self._bands(sketch) for i in texts.get(band, ())})
        own = shingles_of(text) if proposed else set()
        for i in proposed:
            if not unless(i) and similarity(own, self._shingles(self.texts[i])) >= self.threshold:
                yield i

    def add(self, text: str, sketch) -> None:
        """Texts are numbered from 0 in the order in which they are added."""
        for texts, band in self._bands(sketch):
            if len(alike := texts.setdefault(band, [])) < MAX_ALIKE:
                alike.append(len(self.texts))
        self.texts.append(text)

    def _bands(self, sketch) -> Iterator[tuple[dict[bytes, list[int]], bytes]]:
        if sketch is not None:
            for i, texts in enumerate(self._found):
                yield texts, sketch.hashvalues[i * self._size : (i + 1) * self._size].tobytes()

    def _shingles(self, text: str) -> set[str]:
        return _kept_shingles(text) if len(text) <= KEPT else shingles_of(text)


def shingles_of(text: str) -> set[str]:
    """All runs of five words; of a shorter text, all its words as one."""
    words = words_of(text)
    return {" ".join(words[i : i + SHINGLE]) for i in range(max(1, len(words) - SHINGLE + 1))} if words else set()


_kept_shingles = lru_cache(maxsize=1024)(shingles_of)


def similarity(a: set, b: set) -> float:
    """Jaccard similarity of two sets that are not both empty."""
    return len(a & b) / len(a | b)


def drop_near_texts(items: Sequence[Sourced], threshold: float, ledger: Ledger) -> list[Sourced]:
    """The rows whose text is not nearly that of a row kept before it.

    threshold (float): see `NearTexts`.
    """
    index, kept = NearTexts(threshold), []
    for item in items:
        text = item.row["text"]
        sketch = index.sketch(text)
        found = next(index.near(text, sketch), None)
        if found is not None:
            ledger.drop_row(item, "near duplicate", kept[found].row["id"])
        else:
            index.add(text, sketch)
            kept.append(item)
    return kept
