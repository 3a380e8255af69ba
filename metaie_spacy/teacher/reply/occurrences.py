"""Every place of a string in another, in a time that grows with their lengths, however much they repeat themselves."""

import re
from bisect import bisect_left, bisect_right
from itertools import accumulate
from typing import Iterator, Sequence

import numpy as np

from .folding import Skeleton, same_gaps

SHORT = 64  # characters: looking anew from each place of so short a part costs no more than keeping book
DIRECT = 16  # comparisons for each character of both strings, beyond which they are made all at once


def occurrences(text: str, part: str) -> Iterator[int]:
    """Every offset, in order, at which a part stands in a text, also where it overlaps itself.

    part (str): not empty.
    """
    at = text.find(part)
    while at >= 0:
        yield at
        following = text.find(part, at + 1)
        if at < following < at + len(part) and len(part) > SHORT:
            yield from _overlapping(text, part, following)
            return
        at = following


def _overlapping(text: str, part: str, at: int) -> Iterator[int]:
    """`occurrences` from an offset on, without reading a character twice (Knuth, Morris and Pratt 1977)."""
    falls = [0] * len(part)  # of each beginning of the part, how much of it is its end again
    known = 0
    for i in range(1, len(part)):
        while known and part[i] != part[known]:
            known = falls[known - 1]
        known += part[i] == part[known]
        falls[i] = known
    known = 0
    for i in range(at, len(text)):
        while known and (known == len(part) or text[i] != part[known]):
            known = falls[known - 1]
        known += text[i] == part[known]
        if known == len(part):
            yield i + 1 - len(part)


def skeleton_places(text: Skeleton, answer: Skeleton) -> list[int]:
    """Every offset of the text's skeleton at which an answer's stands with `same_gaps`, in order."""
    found = list(occurrences(text.chars, answer.chars))
    if len(found) * len(answer.chars) <= DIRECT * (len(text.chars) + len(answer.chars)):
        return [at for at in found if same_gaps(text, at, answer)]
    return _with_same_gaps(text, found, answer)


def _with_same_gaps(text: Skeleton, found: Sequence[int], answer: Skeleton) -> list[int]:
    """`same_gaps` at many offsets that overlap."""
    codes: dict[str, str] = {}
    (theirs, joins, parts), (ours, our_joins, our_parts) = (_gap_codes(part, codes) for part in (text, answer))
    our_joins[0] = our_parts[0] = False  # what stands before the answer is none of its gaps
    wrong = _meetings(joins, our_parts) + _meetings(parts, our_joins)
    fitting = set(occurrences(theirs[1:], ours[1:])) if ours.strip("\0") else set(found)
    return [at for at in found if not wrong[at] and at in fitting]


def _gap_codes(skeleton: Skeleton, codes: dict[str, str]) -> tuple[str, np.ndarray, np.ndarray]:
    """What `same_gaps` compares before each character.

    codes (dict): a character for each gap that stands between digits; grows.
    RETURNS (tuple): these characters, "\\0" where there are no two digits; where a gap between no digits joins, and
        where it parts, bool (N,).
    """
    is_digit = [0, *map(str.isdecimal, skeleton.chars)]
    digits = [left + right for left, right in zip(is_digit, is_digit[1:])]
    digits[0] = 0
    between = ["\0"] * len(digits)
    for i, gap in enumerate(skeleton.gaps):
        if digits[i] == 2:
            between[i] = codes.setdefault(gap, chr(1 + len(codes) % 0x10FFFF))
    kinds = [kind if digits[i] == 0 else "" for i, kind in enumerate(skeleton.kinds)]
    return "".join(between), np.array([k == "joins" for k in kinds]), np.array([k == "parts" for k in kinds])


def _meetings(text: np.ndarray, part: np.ndarray) -> np.ndarray:
    """For each offset of a part in a text, in how many places both are true. By Fourier transform: N log N."""
    if len(part) > len(text) or not text.any() or not part.any():
        return np.zeros(max(1, len(text)), dtype="int64")
    size = 1 << (len(text) + len(part) - 1).bit_length()
    product = np.fft.rfft(text, size) * np.fft.rfft(part[::-1], size)
    return np.rint(np.fft.irfft(product, size)[len(part) - 1 : len(part) - 1 + len(text)]).astype("int64")


class Marks:
    """How often a mark of one character, or of one repeated, stands in a slice of a text: as `str.count`, at once."""

    def __init__(self, text: str):
        self.text = text
        self._runs: dict[str, tuple[list[int], list[int], list[int]]] = {}

    def count(self, mark: str, start: int, end: int) -> int:
        starts, ends, before = self._runs_of(mark)
        first, last = bisect_right(ends, start), bisect_left(starts, end) - 1
        if first > last:
            return 0
        sizes = {run: (min(ends[run], end) - max(starts[run], start)) // len(mark) for run in (first, last)}
        return sum(sizes.values()) + (before[last] - before[first + 1] if first < last else 0)

    def _runs_of(self, mark: str) -> tuple[list[int], list[int], list[int]]:
        """Starts and ends of the runs of a mark's character, and how many marks stand in the runs before each."""
        if mark not in self._runs:
            places = [match.span() for match in re.finditer(re.escape(mark[0]) + "+", self.text)]
            before = accumulate(((end - start) // len(mark) for start, end in places), initial=0)
            self._runs[mark] = [start for start, _ in places], [end for _, end in places], list(before)
        return self._runs[mark]
