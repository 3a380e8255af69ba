"""An LLM's quoted answers -> character offsets in the text."""

import re
from bisect import bisect
from difflib import SequenceMatcher
from functools import cached_property, lru_cache
from typing import Iterable, Iterator

from ...data.rows import spans_at
from .folding import Folded, Skeleton, edge, fold, is_word, same_gaps, skeleton

MAX_GAP = 300  # characters that an ellipsis inside an answer may stand for
MIN_FUZZY = 6  # letters and digits below which a similar answer is no evidence
ELLIPSIS = re.compile(r"[\[(<]?\s*(?:…|\.(?:\s?\.){2,})+\s*[\])>]?")
WRAPPERS = {"“": "”", "‘": "’", "„": "“”", "«": "»", "‹": "›", "「": "」", "(": ")", "[": "]", "<": ">", "{": "}"}
WRAPPERS |= {sign: sign for sign in "\"'`*_~"}
ARTICLE = re.compile(r"(?:the|an?)\s+(?=\S)", re.IGNORECASE)
LEADING = re.compile(r"(?:[-*•>–—]\s+|[,;:.!?]+\s*)+")
TRAILING = re.compile(r"[\s.,;:!?。、，；：！？]+$")
ACRONYMS = frozenset("us it who or in me aids act add art cat pet set".split())  # in capitals another word
MODALS = frozenset(("may", "will"))  # with a capital a month and a name
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


class Prepared:
    """A text and, once something asks for them, its folded forms."""

    def __init__(self, text: str):
        self.text = text

    @cached_property
    def folded(self) -> Folded:
        return fold(self.text)

    @cached_property
    def skeleton(self) -> Skeleton:
        return skeleton(self.folded)

    @cached_property
    def tokens(self) -> list[tuple[int, int]]:
        """Borders of the words and signs of the folded text."""
        return _borders(self.folded.chars)


@lru_cache(maxsize=16)
def _prepare(text: str) -> Prepared:
    return Prepared(text)


def find_answer(text: str, answer: str, *, fuzzy: float = 90.0) -> tuple[list[tuple[int, int]], str]:
    """Every place where an answer stands in its text.

    Word for word, at the borders of words; else with another case, white space, Unicode form,
    quotes, dashes, markup, hyphenation, without the quotes, end punctuation or article that the
    model added, or with an ellipsis for a part of it; else nearly so. Numbers, negations, units and
    names of days and months never differ.

    answer (str): what a model quoted. fuzzy (float): least similarity of a near match in [0, 100];
        above 100 there is none, and rapidfuzz is not needed.
    RETURNS (tuple): character offsets that do not overlap, in order, and "exact", "tolerant" or
        "fuzzy"; ([], "") when it stands nowhere.
    RAISES (ImportError): rapidfuzz is needed and not installed.
    """
    answer = answer.strip()
    if not answer or not text:
        return [], ""
    if places := _exact(text, answer):
        return places, "exact"
    prepared = _prepare(text)
    if places := _tolerant(prepared, answer) or _abbreviated(prepared, answer):
        return places, "tolerant"
    if fuzzy <= 100 and (places := _fuzzy(prepared, answer, fuzzy)):
        return places, "fuzzy"
    return [], ""


def align(text: str, pairs: Iterable[tuple[str, str]], *, fuzzy: float = 90.0) -> tuple[list[dict], list[dict]]:
    """Labelled answers as spans of their text.

    Every occurrence of an answer becomes a span. Spans of one label do not overlap: the longest win.

    pairs (Iterable[tuple[str, str]]): label, answer. fuzzy (float): as in `find_answer`.
    RETURNS (tuple): spans `{"start", "end", "label"}` in order, and the pairs without one,
        `{"label", "span", "why"}`.
    """
    found: dict[str, list[tuple[str, list[tuple[int, int]]]]] = {}
    dropped = []
    for label, answer in dict.fromkeys(pairs):
        places, _ = find_answer(text, answer, fuzzy=fuzzy)
        if places:
            found.setdefault(label, []).append((answer, places))
        else:
            dropped.append({"label": label, "span": answer, "why": "not in the text" if answer.strip() else "empty"})
    spans = []
    for label, answers in found.items():
        kept = _longest({place for _, places in answers for place in places})
        spans += [(start, end, label) for start, end in kept]
        for answer, places in answers:
            if not any(place in kept for place in places):
                dropped.append({"label": label, "span": answer, "why": "inside a longer answer of its label"})
    return spans_at(sorted(spans)), dropped


def _longest(places: Iterable[tuple[int, int]]) -> set[tuple[int, int]]:
    """The places without those that overlap a longer, then earlier one."""
    kept: list[tuple[int, int]] = []
    for start, end in sorted(places, key=lambda place: (place[0] - place[1], place)):
        at = bisect(kept, (start, end))
        if (at == 0 or kept[at - 1][1] <= start) and (at == len(kept) or kept[at][0] >= end):
            kept.insert(at, (start, end))
    return set(kept)


def _at_borders(text: str, places: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """The places that are whole words; where there is none, those whose borders are doubtful in their language."""
    levels: dict[int, list[tuple[int, int]]] = {0: [], 1: [], 2: []}
    for start, end in places:
        level = max(edge(text, start, is_start=True), edge(text, end, is_start=False))
        if not levels[level] or start >= levels[level][-1][1]:
            levels[level].append((start, end))
    return levels[0] or levels[1]


def _occurrences(text: str, part: str) -> Iterator[int]:
    at = text.find(part)
    while at >= 0:
        yield at
        at = text.find(part, at + 1)


def _exact(text: str, answer: str) -> list[tuple[int, int]]:
    return _at_borders(text, ((at, at + len(answer)) for at in _occurrences(text, answer))) if answer in text else []


def _variants(answer: str) -> Iterator[str]:
    """The answer, then with less and less of what a model adds around a quotation."""
    yield answer
    seen = {answer, ""}
    while True:
        shorter = LEADING.sub("", answer, count=1) if LEADING.match(answer) else TRAILING.sub("", answer)
        if shorter == answer and len(answer) > 1 and answer[-1] in WRAPPERS.get(answer[0], ""):
            shorter = answer[1:-1].strip()
        if shorter in seen and "\\" in answer:
            shorter = answer.replace("\\", "")
        if shorter in seen:
            return
        seen.add(shorter)
        yield (answer := shorter)


def _tolerant(prepared: Prepared, answer: str) -> list[tuple[int, int]]:
    plain = list(_variants(answer))
    bare = [ARTICLE.sub("", variant, count=1) for variant in plain if ARTICLE.match(variant)]
    for variants in (plain, bare):
        for find in (_verbatim, _folded, _loose):
            for variant in variants:
                if places := find(prepared, variant):
                    return places
    return []


def _verbatim(prepared: Prepared, answer: str) -> list[tuple[int, int]]:
    return _exact(prepared.text, answer)


@lru_cache(maxsize=256)
def _fold_answer(answer: str) -> tuple[Folded, Skeleton]:
    folded = fold(answer)
    return folded, skeleton(folded)


def _folded(prepared: Prepared, answer: str) -> list[tuple[int, int]]:
    part = _fold_answer(answer)[0].chars
    if not part or part not in prepared.folded.chars:
        return []
    places = [_original(prepared, at, at + len(part)) for at in _occurrences(prepared.folded.chars, part)]
    return _at_borders(
        prepared.text, (place for place in places if place and _same_word(answer, prepared.text[slice(*place)]))
    )


def _loose(prepared: Prepared, answer: str) -> list[tuple[int, int]]:
    part, whole = _fold_answer(answer)[1], prepared.skeleton
    if not part.chars or part.chars not in whole.chars or (part.chars[0].isdecimal() and part.gaps[0].strip(" '*_~")):
        return []
    places = []
    for at in _occurrences(whole.chars, part.chars):
        if same_gaps(whole, at, part):
            places.append(_original(prepared, whole.firsts[at], whole.lasts[at + len(part.chars) - 1]))
    places = [
        _balanced(prepared.text, *place)
        for place in places
        if place and _same_word(answer, prepared.text[slice(*place)])
    ]
    return _at_borders(prepared.text, places)


def _balanced(text: str, start: int, end: int) -> tuple[int, int]:
    """Take in the opening or closing mark just outside whose other half is inside."""
    for left, right in (("**", "**"), ("*", "*"), ("`", "`"), ("~~", "~~"), ('"', '"'), ("“", "”"), ("«", "»")):
        inside = text[start:end]
        halves = inside.count(left) % 2 if left == right else inside.count(left) != inside.count(right)
        if halves and text.endswith(left, 0, start):
            start -= len(left)
        elif halves and text.startswith(right, end):
            end += len(right)
    return start, end


def _original(prepared: Prepared, first: int, last: int) -> tuple[int, int] | None:
    """Original offsets of a slice of the folded text; None if it begins or ends within an original character."""
    _, starts, ends = prepared.folded
    if (first and starts[first - 1] == starts[first]) or (last < len(starts) and ends[last - 1] == ends[last]):
        return None
    return starts[first], ends[last - 1]


def _same_word(answer: str, surface: str) -> bool:
    """False for two words that only case tells apart, such as "US" and "us"."""
    low = surface.casefold()
    if low in ACRONYMS and answer.isupper() != surface.isupper() and len(answer) > 1:
        return False
    return low not in MODALS or answer.islower() == surface.islower()


def _abbreviated(prepared: Prepared, answer: str) -> list[tuple[int, int]]:
    """Places of an answer that leaves out its middle, or says by dots that the text goes on."""
    if not ELLIPSIS.search(answer):
        return []
    parts = [part for part in (part.strip() for part in ELLIPSIS.split(answer)) if any(map(is_word, part))]
    if len(parts) == 1:
        return _exact(prepared.text, parts[0]) or _tolerant(prepared, parts[0])
    found = [_exact(prepared.text, part) or _tolerant(prepared, part) for part in parts]
    places: dict[int, int] = {}  # end -> start: of several beginnings the nearest counts
    for start, end in found[0] if parts else []:
        for following in found[1:]:
            after = next((place for place in following if end <= place[0] <= end + MAX_GAP), None)
            if after is None:
                break
            end = after[1]
        else:
            places[end] = start
    return sorted((start, end) for end, start in places.items())


def _borders(folded: str) -> list[tuple[int, int]]:
    """Borders of words and signs; marks belong to their words."""
    borders: list[tuple[int, int]] = []
    joined = False
    for i, char in enumerate(folded):
        in_word = is_word(char)
        if in_word and joined:
            borders[-1] = (borders[-1][0], i + 1)
        elif char != " ":
            borders.append((i, i + 1))
        joined = in_word
    return borders


def _fuzzy(prepared: Prepared, answer: str, least: float) -> list[tuple[int, int]]:
    """The most similar passage, snapped to the borders of words, and wherever else it stands."""
    *_, bare = _variants(answer)
    part, whole = fold(bare).chars, prepared.folded.chars
    if sum(map(is_word, part)) < MIN_FUZZY or not prepared.tokens:
        return []
    try:
        from rapidfuzz import fuzz
    except ImportError as error:
        raise ImportError(
            "Near matches need rapidfuzz: pip install 'metaie-spacy[project]', or pass fuzzy=101."
        ) from error
    # the window that rapidfuzz looks through is as long as the answer, the passage may be longer: a lower bound first
    near = fuzz.partial_ratio_alignment(part, whole, score_cutoff=max(0.0, least - 15))
    if near is None:
        return []
    firsts = _nearest([first for first, _ in prepared.tokens], near.dest_start)
    lasts = _nearest([last for _, last in prepared.tokens], near.dest_end)
    score, first, last = max(
        [(0.0, 0, 0)] + [(fuzz.ratio(part, whole[a:b]), a, b) for a in firsts for b in lasts if a < b]
    )
    place = (
        _original(prepared, first, last) if last and score >= least and _same_sense(part, whole[first:last]) else None
    )
    return _at_borders(prepared.text, [place]) and _exact(prepared.text, prepared.text[slice(*place)]) if place else []


def _nearest(borders: list[int], at: int) -> list[int]:
    middle = bisect(borders, at)
    return borders[max(0, middle - 3) : middle + 2]


def _same_sense(answer: str, surface: str) -> bool:
    """Whether two similar folded strings differ by spelling, inflection or filling words only."""
    ours, theirs = _sense_words(answer), _sense_words(surface)
    if [word for word in ours if _is_strict(word)] != [word for word in theirs if _is_strict(word)]:
        return False
    for kind, a, b, c, d in SequenceMatcher(None, ours, theirs, autojunk=False).get_opcodes():
        if kind != "replace":
            continue
        if b - a != d - c or not all(_similar(left, right) for left, right in zip(ours[a:b], theirs[c:d])):
            return False
    return True


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
