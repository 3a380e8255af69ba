"""Passages that are nearly an answer: by spelling, never by sense."""

import re
from bisect import bisect
from collections import Counter
from difflib import SequenceMatcher
from typing import Iterable

from .folding import is_word

MIN_FUZZY = 6  # letters and digits below which a similar answer is no evidence
MAX_FUZZY = 1000  # characters above which it costs too much to find: with their square
MAX_PAIRS = 64  # of equal words, for each word of two passages, beyond which they are compared in the cheaper way
WORDS = re.compile(r"\d+(?:[.,]\d+)*|(?:[^\W\d_]|[\u0300-\u036f])+|\S")
FUNCTION_WORDS = frozenset("a an the of in on at to for and & 's s , . ; : ' - … ( )".split())
NEGATIONS = "no not never none nobody nothing nor neither without cannot n't hardly except"
NUMBERS = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen "
    "fourteen fifteen sixteen seventeen eighteen nineteen "
    "twenty thirty forty fifty sixty seventy eighty ninety hundred thousand million "
    "billion trillion half third quarter double twice "
    "first second fourth fifth sixth seventh eighth ninth tenth"
)
DATES = (
    "monday tuesday wednesday thursday friday saturday sunday january february "
    "march april may june july august september october "
    "november december"
)
STRICT_WORDS = frozenset(f"{NEGATIONS} {NUMBERS} {DATES} % $ € £ ¥ ₹ ₽ + = < >".split())
PREFIXES = frozenset(
    "un in im ir il non dis de re a ab an anti pro mis under over pre post intra "
    "inter hyper hypo up down out fe wo ex sub super multi "
    "mono".split()
)  # words that differ in one of these differ in sense
ENDINGS = frozenset("s es ed d ing y ies".split()) | {""}


def is_evidence(part: str) -> bool:
    """Whether a folded answer is long enough for a similar passage to mean something, and not too long to look for."""
    return len(part) <= MAX_FUZZY and sum(map(is_word, part)) >= MIN_FUZZY


def word_borders(folded: str) -> tuple[list[int], list[int]]:
    """Borders of words and signs; marks belong to their words."""
    firsts: list[int] = []
    lasts: list[int] = []
    joined = False
    for i, char in enumerate(folded):
        in_word = is_word(char)
        if in_word and joined:
            lasts[-1] = i + 1
        elif char != " ":
            firsts.append(i)
            lasts.append(i + 1)
        joined = in_word
    return firsts, lasts


def similar_passage(
    part: str, whole: str, borders: tuple[list[int], list[int]], least: float
) -> tuple[int, int] | None:
    """Where the passage of a folded text that is most similar to a folded answer begins and ends.

    borders (tuple): `word_borders` of the text. least (float): least similarity in [0, 100].
    RETURNS (tuple | None): None where the best is not similar enough, or has another sense.
    RAISES (ImportError): rapidfuzz is not installed.
    """
    try:
        from rapidfuzz import fuzz
    except ImportError as error:
        raise ImportError(
            "Near matches need rapidfuzz: pip install 'metaie-spacy[project]', or pass fuzzy=101."
        ) from error
    # the window that rapidfuzz looks through is as long as the answer, the passage may be longer: a lower bound first
    near = fuzz.partial_ratio_alignment(part, whole, score_cutoff=max(0.0, least - 15))
    if near is None:
        return None
    firsts, lasts = map(_nearest, borders, (near.dest_start, near.dest_end))
    score, first, last = max(
        [(0.0, 0, 0)] + [(fuzz.ratio(part, whole[a:b]), a, b) for a in firsts for b in lasts if a < b]
    )
    return (first, last) if last and score >= least and _same_sense(part, whole[first:last]) else None


def _nearest(borders: list[int], at: int) -> list[int]:
    middle = bisect(borders, at)
    return borders[max(0, middle - 3) : middle + 2]


def _same_sense(answer: str, surface: str) -> bool:
    """Whether two similar folded strings differ by spelling, inflection or filling words only."""
    ours, theirs = _sense_words(answer), _sense_words(surface)
    if [word for word in ours if _is_strict(word)] != [word for word in theirs if _is_strict(word)]:
        return False
    for kind, a, b, c, d in _changes(ours, theirs):
        if kind != "replace":
            continue
        if b - a != d - c or not all(_similar(left, right) for left, right in zip(ours[a:b], theirs[c:d])):
            return False
    return True


def _changes(ours: list[str], theirs: list[str]) -> Iterable[tuple[str, int, int, int, int]]:
    """What turns one list of words into the other, as `SequenceMatcher` has it."""
    from rapidfuzz.distance import Levenshtein

    counts = Counter(theirs)
    pairs = sum(counts[word] * number for word, number in Counter(ours).items())
    if pairs > MAX_PAIRS * (len(ours) + len(theirs)):  # its time grows with them, which repeated words make many
        return Levenshtein.opcodes(ours, theirs)
    return SequenceMatcher(None, ours, theirs, autojunk=False).get_opcodes()


def _sense_words(folded: str) -> list[str]:
    return WORDS.findall(folded.replace("n't", " n't ").replace("n't", "not"))


def _is_strict(word: str) -> bool:
    return word in STRICT_WORDS or any(map(str.isdecimal, word))


def _similar(left: str, right: str) -> bool:
    from rapidfuzz import distance, fuzz

    if (left in FUNCTION_WORDS and right in FUNCTION_WORDS) or left == right:
        return True
    if min(len(left), len(right)) < 4:
        return False
    stem = next((i for i, (a, b) in enumerate(zip(left, right)) if a != b), min(len(left), len(right)))
    if stem > 2 and left[stem:] in ENDINGS and right[stem:] in ENDINGS:
        return True
    tail = next((i for i, (a, b) in enumerate(zip(left[::-1], right[::-1])) if a != b), min(len(left), len(right)))
    if left[: len(left) - tail] in PREFIXES | {""} and right[: len(right) - tail] in PREFIXES | {""}:
        return False
    return fuzz.ratio(left, right) >= 80 and distance.OSA.distance(left, right) <= 1
