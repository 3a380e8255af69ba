"""Texts in a form in which spelling variants are equal, with the way back to the original offsets."""

import html
import re
import unicodedata
from array import array
from functools import lru_cache
from typing import NamedTuple

ENTITY = re.compile(r"&(?:[a-zA-Z]{2,8}|#\d{1,7}|#[xX][0-9a-fA-F]{1,6});")
QUOTES = dict.fromkeys("'`´\"‘’‚‛“”„‟′″‵«»‹›「」『』ʼʹ", "'")
INVISIBLE = (
    "\u00ad\u200b\u200c\u200d\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2060\u2066\u2067\u2068\u2069\ufeff\u0640\u061c"
)
IGNORED = dict.fromkeys(INVISIBLE, "")
SIGNS = {**QUOTES, **IGNORED, "\u2044": "/", "\u2212": "-", "\u2043": "-"}
JOINERS = "\u00ad\u200c\u2060"
SPACELESS = re.compile(
    "[\u0e00-\u0fff\u1000-\u109f\u1780-\u17ff\u3005-\u3007\u3040-\u309f\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]"
)  # Thai to Tibetan, Burmese, Khmer, Hiragana, Han
KATAKANA = re.compile("[\u30a0-\u30ff\u31f0-\u31ff\uff66-\uff9f]")
HANGUL = re.compile("[\u1100-\u11ff\u3130-\u318f\uac00-\ud7af]")
CLITICS = re.compile(
    "[\u05d5\u05d1\u05d4\u05dc\u05db\u05de\u05e9]{1,3}|[\u0648\u0641]?[\u0628\u0644\u0643\u0633]?(?:\u0627\u0644)?"
)
SEMITIC = re.compile("[\u0590-\u06ff]")
NO_UNIT = re.compile(r"(?:st|nd|rd|th|s)(?![a-z])", re.IGNORECASE)
FREE_MARKS = re.compile("[\u0300-\u036f\u0591-\u05c7\u064b-\u0652\u0670]")
LOOSE = frozenset(" -*_~'.")
MAX_MARKS = 32  # on one character: Unicode's own sorting of them takes the square of their number
LONGEST_CLITIC = 4


class Folded(NamedTuple):
    """A text in comparable form.

    chars (str): its characters. starts, ends (array[int]): the original offsets of the character
        that each of them comes from; one original character may give several.
    """

    chars: str
    starts: array
    ends: array


class Skeleton(NamedTuple):
    """A folded text without blanks, hyphens, quotes, full stops, markup and diacritics.

    chars (str): what is left. firsts, lasts (array[int]): where each of them, with its diacritics,
        stands in the folded text.
    gaps (list[str]): what was left out before each character. kinds (list[str]): `gap_kind` of each.
    """

    chars: str
    firsts: array
    lasts: array
    gaps: list[str]
    kinds: list[str]


@lru_cache(maxsize=4096)
def is_word(char: str) -> bool:
    """Whether a character belongs to a word: letters, digits and the marks on them."""
    return char.isalnum() or unicodedata.category(char)[0] == "M"


@lru_cache(maxsize=4096)
def extends(char: str) -> bool:
    """Whether a character is none of its own to a reader: accents, vowel signs, emoji modifiers, Hangul parts."""
    if char < "\u0300":
        return False
    return (
        unicodedata.category(char) in ("Mn", "Me")
        or "\U0001f3fb" <= char <= "\U0001f3ff"
        or "\u1160" <= char <= "\u11ff"
    )


@lru_cache(maxsize=16384)
def fold_cluster(cluster: str) -> str:
    """The comparable form of one character with its marks."""
    if len(cluster) > 1:
        cluster = "".join(c for c in cluster if not ("\ufe00" <= c <= "\ufe0f" or "\U0001f3fb" <= c <= "\U0001f3ff"))
    # KD after the case too: what lower-casing gives may decompose again
    plain = unicodedata.normalize("NFKD", "".join(SIGNS.get(c, c) for c in cluster))
    folded = unicodedata.normalize("NFKD", plain.casefold())
    return "".join("-" if unicodedata.category(c) == "Pd" else SIGNS.get(c, c) for c in folded)


def fold(text: str) -> Folded:
    """Fold case, Unicode form, white space, quotes, dashes and ellipses.

    White space is left only between two words: about punctuation it is a habit of the writer.
    """
    chars: list[str] = []
    starts, ends = array("i"), array("i")
    i, blank = 0, False
    while i < len(text):
        start = i
        entity = ENTITY.match(text, i) if text[i] == "&" else None
        named = html.unescape(entity[0]) if entity else ""
        is_entity = entity is not None and named != entity[0]  # "AT&T;" holds none
        i = entity.end() if is_entity else i + 1
        stop = min(len(text), i + MAX_MARKS)
        while i < stop and extends(text[i]):
            i += 1
        cluster = named + text[entity.end() : i] if is_entity else text[start:i]
        if cluster.isspace():
            blank = True
            continue
        folded = fold_cluster(cluster)
        if not folded:
            continue
        if chars and chars[-1][-1].isdecimal() and folded[0].isdecimal() and not cluster[0].isdecimal():
            folded = (" " if "/" in folded else "^") + folded  # 1½ is no 11/2, 10² is no 102
            blank = False
        if blank and chars and _keeps_blank(chars[-1], folded[0]):
            chars.append(" ")
            starts.append(ends[-1])
            ends.append(start)
        blank = False
        for char in folded:
            _append_char(char, start, i, chars, starts, ends)
    return Folded("".join(chars), starts, ends)


def _keeps_blank(left: str, right: str) -> bool:
    return is_word(left) and is_word(right) and not (_runs_on(left) or _runs_on(right))


@lru_cache(maxsize=4096)
def _runs_on(char: str) -> bool:
    return bool(SPACELESS.match(char) or KATAKANA.match(char))


def _append_char(char: str, start: int, end: int, chars: list[str], starts: array, ends: array) -> None:
    """Add a character; runs of quotes, of dashes and of three dots and more become one."""
    touches = chars and start in (starts[-1], ends[-1])
    if (touches and char in "'-" and chars[-1] == char) or (chars and char == "." and chars[-1] == "…"):
        ends[-1] = end
    elif char == "." and chars[-2:] == [".", "."]:
        first = starts[-2]
        del chars[-2:], starts[-2:], ends[-2:]
        chars.append("…")
        starts.append(first)
        ends.append(end)
    else:
        chars.append(char)
        starts.append(start)
        ends.append(end)


def skeleton(folded: Folded) -> Skeleton:
    """A folded text without what writers leave out; diacritics only those of Latin, Greek, Hebrew and Arabic."""
    chars: list[str] = []
    firsts, lasts = array("i"), array("i")
    gaps: list[str] = []
    gap = ""
    for i, char in enumerate(folded.chars):
        if char in LOOSE:
            gap += char
        elif FREE_MARKS.match(char) and chars and not "\u0400" <= chars[-1] <= "\u04ff":  # й is a letter, é a variant
            lasts[-1] = i + 1
        else:
            chars.append(char)
            firsts.append(i)
            lasts.append(i + 1)
            gaps.append(gap)
            gap = ""
    return Skeleton("".join(chars), firsts, lasts, gaps, [gap_kind(gap) for gap in gaps])


def gap_kind(gap: str) -> str:
    """Whether what was left out joins two characters (nothing), parts them (blanks and quotes) or may do either."""
    return "either" if gap.strip(" '") else "parts" if gap else "joins"


def same_gaps(text: Skeleton, at: int, answer: Skeleton) -> bool:
    """Whether what was left out inside an answer differs from that in the text by hyphens, stops and markup.

    "well known" and "well-known", "5 mg" and "5mg" are the same; "the rapist" and "therapist", "it's" and "its",
    "5-10" and "510" are not.
    """
    for i in range(1, len(answer.chars)):
        digits = answer.chars[i - 1].isdecimal() + answer.chars[i].isdecimal()
        if digits == 2 and text.gaps[at + i] != answer.gaps[i]:
            return False
        if digits == 0 and {text.kinds[at + i], answer.kinds[i]} == {"joins", "parts"}:
            return False
    return True


def edge(text: str, at: int, *, is_start: bool) -> int:
    """How well an answer may begin or end at an offset.

    RETURNS (int): 0: a border between words, or any place in a script without spaces; 1: a place
        where words of such a language or a number and its unit meet; 2: inside a word or number.
    """
    if not 0 < at < len(text):
        return 0
    left, right = text[at - 1], text[at]
    if (extends(right) and not left.isspace()) or "\u200d" in (left, right) or _joins(text, at):
        return 2
    if is_word(left) and is_word(right):
        return _edge_in_run(text, at, is_start)
    before, after = text[max(0, at - 2) : at], text[at : at + 2]
    if (
        _splits_number(before, after)
        or (after.lower() in ("'t", "’t") and left in "nN")
        or (before.lower() in ("n'", "n’") and right in "tT")
    ):
        return 2
    if after == "++" or (
        after[0] == "#" and left.isascii() and is_word(left) and not is_word(after[-1])
    ):  # C is neither C++ nor C#
        return 2
    names = (before[-1] == "_" and is_word(right) and is_word(before[0])) or (
        after[0] == "_" and is_word(left) and is_word(after[-1])
    )
    return 2 if names else 0


def _joins(text: str, at: int) -> bool:
    """Whether an invisible sign, such as a soft hyphen, holds the parts of one word together here."""
    if text[at] in JOINERS:
        return is_word(text[at - 1]) and at + 1 < len(text) and is_word(text[at + 1])
    return text[at - 1] in JOINERS and at > 1 and is_word(text[at - 2]) and is_word(text[at])


def _splits_number(before: str, after: str) -> bool:
    if after[0] in ".,":
        return before[-1].isdecimal() and after[1:].isdecimal()
    decimal = before[:-1].isdecimal() or (before[-1] == "." and not (is_word(before[0]) or before == ".."))
    return before[-1] in ".," and decimal and after[0].isdecimal()


def _edge_in_run(text: str, at: int, is_start: bool) -> int:
    """`edge` between two characters of words."""
    left, right = text[at - 1], text[at]
    if SPACELESS.match(left) or SPACELESS.match(right):
        return 0
    if KATAKANA.match(left) or KATAKANA.match(right):
        return 1 if KATAKANA.match(left) and KATAKANA.match(right) else 0
    if HANGUL.match(left) and HANGUL.match(right):
        return 1 if is_start else 0  # particles are written onto the end of a word
    first = at
    if left.isdecimal() and right.isalpha():
        while first and text[first - 1].isdecimal():
            first -= 1
        is_number = not first or not is_word(text[first - 1])
        return 1 if is_number and not NO_UNIT.match(text, at) else 2
    if is_start and SEMITIC.match(right):
        while first and at - first <= LONGEST_CLITIC and is_word(text[first - 1]):
            first -= 1
        return 1 if CLITICS.fullmatch(text, first, at) else 2
    return 2
