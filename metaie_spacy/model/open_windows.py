"""The windows of a text whose end is not known yet."""

from typing import Sequence

import numpy as np

from .windows import BORDERS, Window, cut_stretch, packed


class OpenWindows:
    """Gives out the windows of a text that grows, those that `split_windows` cuts, once no more text changes them.

    Windows are packed from left to right, so that only the last one may change: it holds as many whole paragraphs,
    lines or sentences as fit, and what comes may fit too. What is kept is the words of that window, the level of the
    borders that it is cut at (0: blank lines, 1: lines, 2: sentences, 3: none), and where its own words begin. A
    stretch that is cut at a level ends at the next border of a better one.

    limit (int): pieces of a window without specials. overlap (int): pieces that windows inside a sentence share. start
    (int): number of the first word that is kept. words (list[str]): those that are kept.
    """

    def __init__(self, limit: int, overlap: int):
        self.limit, self.overlap = limit, overlap
        self.words: list[str] = []
        self.start = 0
        self._sizes: list[int] = []
        self._size = 0  # pieces of the words that are kept
        self._level = self._own = self._seen = 0

    def add(self, words: Sequence[str], sizes: Sequence[int], *, is_last: bool = False) -> list[Window]:
        """The windows that are final with these words. Their words count from the beginning of the text.

        sizes (Sequence[int]): pieces of each word. is_last (bool): no word follows, so that all windows are final.
        """
        self.words += words
        self._sizes += sizes
        self._size += sum(sizes)
        found: list[Window] = []
        while (border := self._next_border()) is not None:
            end, level = border
            found += self._cut(end)
            self._drop(end, 0, level)
        if is_last:
            found += self._cut(len(self.words)) if self.words else []
            self._drop(len(self.words), 0, 0)
        elif self._size > self.limit:
            *done, last = self._cut(len(self.words))
            found += done
            self._drop(last.start - self.start, last.own_start - last.start, self._last_level)
        return found

    def _next_border(self) -> tuple[int, int] | None:
        """Where the stretch ends that is cut at this level, and the level of the border there; None: not yet."""
        for i in range(self._seen, len(self.words) - 1):
            for level in range(self._level):
                if BORDERS[level](self.words, i):
                    return i + 1, level
        self._seen = max(0, len(self.words) - 1)
        return None

    def _cut(self, end: int) -> list[Window]:
        """The windows of the first words that are kept."""
        sums = np.concatenate([[0], np.cumsum(self._sizes[:end], dtype="int64")])
        found: list[Window] = []
        for first, last, level in packed(self.words[:end], sums, self.limit, self._level):
            found += cut_stretch(sums, first, last, self.limit, self.overlap, moved=self.start)
            self._last_level = level
        found[0] = found[0]._replace(own_start=self.start + self._own)
        return found

    def _drop(self, n: int, own: int, level: int) -> None:
        """Go on behind the first words. own (int): of those that are left, how many another window answers for."""
        self._size -= sum(self._sizes[:n])
        del self.words[:n], self._sizes[:n]
        self.start += n
        self._own, self._level, self._seen = own, level, 0
