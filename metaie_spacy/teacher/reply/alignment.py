"""An LLM's quoted answers -> character offsets in the text."""

import re
from bisect import bisect_left
from functools import cached_property, lru_cache
from typing import Callable, Iterable, Iterator

from ...data.rows import longest_first, spans_at
from .folding import Folded, Skeleton, edge, fold, is_word, skeleton
from .near import is_evidence, similar_passage, word_borders
from .occurrences import Marks, occurrences, skeleton_places

MAX_ANSWERS = 5000  # of one text
MAX_NEAR = 200  # answers of one text that stand nowhere and are looked for once more, as near matches
MAX_PLACES = 10_000  # of all answers of one text, besides one for each of its characters
MAX_GAP = 300  # characters that an ellipsis inside an answer may stand for
MAX_PARTS = 32  # of an answer with ellipses
MAX_PEELED = 12  # times that something around an answer is taken away before only its core is left to try
MAX_LONGER = 10  # times as long as its text, and KEPT_ANSWER characters more: no quotation any longer
KEPT_TEXT, KEPT_ANSWER = 20_000, 1_000  # characters of what is kept folded in some number
ELLIPSIS = re.compile(r"(?:…|\.(?:\s?\.){2,})+")
WRAPPERS = {"“": "”", "‘": "’", "„": "“”", "«": "»", "‹": "›", "「": "」", "(": ")", "[": "]", "<": ">", "{": "}"}
WRAPPERS |= {sign: sign for sign in "\"'`*_~"}
ARTICLE = re.compile(r"(?:the|an?)\s+(?=\S)", re.IGNORECASE)
LEADING = re.compile(r"(?:[-*•>–—]\s+|[,;:.!?]\s*)+")
TRAILING = frozenset("".join(filter(str.isspace, map(chr, range(0x3001)))) + ".,;:!?。、，；：！？")
PAIRED = (("**", "**"), ("*", "*"), ("`", "`"), ("~~", "~~"), ('"', '"'), ("“", "”"), ("«", "»"))
ACRONYMS = frozenset("us it who or in me aids act add art cat pet set".split())  # in capitals another word
MODALS = frozenset(("may", "will"))  # with a capital a month and a name
LONGEST_CASED = max(map(len, ACRONYMS | MODALS))


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
    def marks(self) -> Marks:
        return Marks(self.text)

    @cached_property
    def borders(self) -> tuple[list[int], list[int]]:
        """Where the words and signs of the folded text begin, and where they end."""
        return word_borders(self.folded.chars)


_keep_some, _keep_last = lru_cache(maxsize=16)(Prepared), lru_cache(maxsize=1)(Prepared)


def _prepare(text: str) -> Prepared:
    return (_keep_some if len(text) <= KEPT_TEXT else _keep_last)(text)


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
    if not answer or not text or len(answer) > MAX_LONGER * len(text) + KEPT_ANSWER:
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
    Of more answers, near matches and places than any text has, the first ones are taken.

    pairs (Iterable[tuple[str, str]]): label, answer. fuzzy (float): as in `find_answer`.
    RETURNS (tuple): spans `{"start", "end", "label"}` in order, and the pairs without one,
        `{"label", "span", "why"}`.
    """
    found: dict[str, list[tuple[str, list[tuple[int, int]]]]] = {}
    known: dict[str, list[tuple[int, int]] | None] = {}  # None: in too many places
    dropped = []
    near, room = MAX_NEAR, MAX_PLACES + len(text)
    for number, (label, answer) in enumerate(dict.fromkeys(pairs)):
        if number >= MAX_ANSWERS or not answer.strip():
            why = "empty" if number < MAX_ANSWERS else f"after {MAX_ANSWERS} others"
            dropped.append({"label": label, "span": answer, "why": why})
            continue
        if answer not in known:
            places, how = find_answer(text, answer, fuzzy=fuzzy if near else 101)
            near -= near > 0 and how in ("", "fuzzy")
            known[answer] = places if len(places) <= room else None
        places = known[answer]
        if places and len(places) <= room:
            room -= len(places)
            found.setdefault(label, []).append((answer, places))
        else:
            why = "not in the text" if places == [] else "in too many places"
            dropped.append({"label": label, "span": answer, "why": why})
    spans = []
    for label, answers in found.items():
        places = longest_first((start, end, label) for _, places in answers for start, end in places)
        kept = {(start, end) for start, end, _ in places}
        spans += places
        for answer, places in answers:
            if not any(place in kept for place in places):
                dropped.append({"label": label, "span": answer, "why": "inside a longer answer of its label"})
    return spans_at(sorted(spans)), dropped


def _at_borders(
    text: str,
    places: Iterable[tuple[int, int]],
    widen: Callable[[int, int], tuple[int, int]] | None = None,
) -> list[tuple[int, int]]:
    """The places that are whole words; where there is none, those whose borders are doubtful in their language.

    widen (Callable | None): gives a place its final borders, at most outside of those it had.
    """
    levels: dict[int, list[tuple[int, int]]] = {0: [], 1: [], 2: []}
    for start, end in places:
        if levels[0] and start < levels[0][-1][1]:
            continue
        start, end = widen(start, end) if widen else (start, end)
        level = max(edge(text, start, is_start=True), edge(text, end, is_start=False))
        if not levels[level] or start >= levels[level][-1][1]:
            levels[level].append((start, end))
    return levels[0] or levels[1]


def _exact(text: str, answer: str) -> list[tuple[int, int]]:
    return _at_borders(text, ((at, at + len(answer)) for at in occurrences(text, answer)))


def _variants(answer: str) -> Iterator[str]:
    """The answer, then with less and less of what a model adds around a quotation, at last without any of it."""
    start, end, peeled = 0, len(answer), 0
    yield answer
    while True:
        first, last = _peel(answer, start, end)
        if (first, last) == (start, end) or first >= last:
            bare = answer[start:end].replace("\\", "")
            if peeled > MAX_PEELED:
                yield answer[start:end]
            if not bare or len(bare) == end - start:
                return
            answer, first, last = bare, 0, len(bare)
        start, end, peeled = first, last, peeled + 1
        if peeled <= MAX_PEELED:
            yield answer[start:end]


def _peel(text: str, start: int, end: int) -> tuple[int, int]:
    """A slice of a text without the first thing around it that a model may have added."""
    if leading := LEADING.match(text, start, end):
        return leading.end(), end
    last = end
    while start < last and text[last - 1] in TRAILING:
        last -= 1
    if last == end and end - start > 1 and text[end - 1] in WRAPPERS.get(text[start], ""):
        start, last = start + 1, end - 1
        while start < last and text[start].isspace():
            start += 1
        while start < last and text[last - 1].isspace():
            last -= 1
    return start, last


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


def _fold_both(answer: str) -> tuple[Folded, Skeleton]:
    folded = fold(answer)
    return folded, skeleton(folded)


_keep_answers, _keep_answer = lru_cache(maxsize=256)(_fold_both), lru_cache(maxsize=1)(_fold_both)


def _fold_answer(answer: str) -> tuple[Folded, Skeleton]:
    return (_keep_answers if len(answer) <= KEPT_ANSWER else _keep_answer)(answer)


def _folded(prepared: Prepared, answer: str) -> list[tuple[int, int]]:
    part, whole = _fold_answer(answer)[0].chars, prepared.folded.chars
    if not part:
        return []
    places = (_original(prepared, at, at + len(part)) for at in occurrences(whole, part))
    return _at_borders(prepared.text, _same_words(prepared.text, answer, places))


def _loose(prepared: Prepared, answer: str) -> list[tuple[int, int]]:
    part, whole = _fold_answer(answer)[1], prepared.skeleton
    if not part.chars or (part.chars[0].isdecimal() and part.gaps[0].strip(" '*_~")):
        return []
    places = (
        _original(prepared, whole.firsts[at], whole.lasts[at + len(part.chars) - 1])
        for at in skeleton_places(whole, part)
    )
    return _at_borders(
        prepared.text, _same_words(prepared.text, answer, places), lambda start, end: _balanced(prepared, start, end)
    )


def _balanced(prepared: Prepared, start: int, end: int) -> tuple[int, int]:
    """Take in the opening or closing mark just outside whose other half is inside."""
    for left, right in PAIRED:
        opens, closes = prepared.text.endswith(left, 0, start), prepared.text.startswith(right, end)
        if not (opens or closes):
            continue
        lefts = prepared.marks.count(left, start, end)
        if lefts % 2 if left == right else lefts != prepared.marks.count(right, start, end):
            start, end = (start - len(left), end) if opens else (start, end + len(right))
    return start, end


def _original(prepared: Prepared, first: int, last: int) -> tuple[int, int] | None:
    """Original offsets of a slice of the folded text; None if it begins or ends within an original character."""
    _, starts, ends = prepared.folded
    if (first and starts[first - 1] == starts[first]) or (last < len(starts) and ends[last - 1] == ends[last]):
        return None
    return starts[first], ends[last - 1]


def _same_words(text: str, answer: str, places: Iterable[tuple[int, int] | None]) -> Iterator[tuple[int, int]]:
    """The places that hold no other word that only case tells apart, as it does "US" and "us"."""
    is_upper, is_lower = answer.isupper(), answer.islower()
    for place in places:
        if place is None:
            continue
        if place[1] - place[0] <= LONGEST_CASED:
            surface = text[slice(*place)]
            low = surface.casefold()
            if low in ACRONYMS and is_upper != surface.isupper() and len(answer) > 1:
                continue
            if low in MODALS and is_lower != surface.islower():
                continue
        yield place


def _abbreviated(prepared: Prepared, answer: str) -> list[tuple[int, int]]:
    """Places of an answer that leaves out its middle, or says by dots that the text goes on."""
    parts = _between_ellipses(answer)
    if not 0 < len(parts) <= MAX_PARTS:
        return []
    known: dict[str, list[tuple[int, int]]] = {}
    for part in parts:
        if part not in known:
            known[part] = _exact(prepared.text, part) or _tolerant(prepared, part)
        if not known[part]:
            return []
    starts = {part: [start for start, _ in places] for part, places in known.items()}
    found: dict[int, int] = {}  # end -> start: of several beginnings the nearest counts
    for start, end in known[parts[0]]:
        for part in parts[1:]:
            after = bisect_left(starts[part], end)
            if after == len(starts[part]) or starts[part][after] > end + MAX_GAP:
                break
            end = known[part][after][1]
        else:
            found[end] = start
    return sorted((start, end) for end, start in found.items())


def _between_ellipses(answer: str) -> list[str]:
    """The parts of an answer that has ellipses, without the brackets around these; none of one that has not."""
    parts, at = [], 0
    for ellipsis in ELLIPSIS.finditer(answer):
        parts.append(answer[at : ellipsis.start()].rstrip())
        at = ellipsis.end()
    if not parts:
        return []
    parts = [part[:-1] if part.endswith(("[", "(", "<")) else part for part in parts] + [answer[at:]]
    for i, part in enumerate(parts[1:], 1):
        rest = part.lstrip()
        parts[i] = rest[1:] if rest.startswith(("]", ")", ">")) else rest
    return [part for part in map(str.strip, parts) if any(map(is_word, part))]


def _fuzzy(prepared: Prepared, answer: str, least: float) -> list[tuple[int, int]]:
    """The most similar passage, snapped to the borders of words, and wherever else it stands."""
    *_, bare = _variants(answer)
    part, whole = _fold_answer(bare)[0].chars, prepared.folded.chars
    if not is_evidence(part) or not whole:
        return []
    near = similar_passage(part, whole, prepared.borders, least)
    place = _original(prepared, *near) if near else None
    return _at_borders(prepared.text, [place]) and _exact(prepared.text, prepared.text[slice(*place)]) if place else []
