"""Long texts in windows: for prediction, and for training."""

import logging
from bisect import bisect_left, bisect_right
from itertools import accumulate
from typing import Callable, NamedTuple, Sequence

import numpy as np

from ..data.items import Item, Question
from ..data.known import Spot
from ..data.rows import Place
from ..spans import is_blank_line

MAX_ABSENT = 1000  # labels that one window of a text is asked in vain
STOPS = (".", "!", "?", "…", "。", "！", "？")
CLOSING = ('"', "'", "”", "’", ")", "]", "»", "''")  # belong to the sentence before
logger = logging.getLogger("metaie_spacy")


class Window(NamedTuple):
    """A stretch of one text's words that is read in one pass, and the part of it that it answers for.

    text (int): which text. start, end (int): its words, end exclusive.
    own_start, own_end (int): the words whose logits are taken from this window.
    size (int): pieces, specials included.
    """

    text: int
    start: int
    end: int
    own_start: int
    own_end: int
    size: int


def split_windows(
    sizes: Sequence[int], limit: int, overlap: int, text: int = 0, words: Sequence[str] | None = None
) -> list[Window]:
    """Cut a text into windows: at blank lines; where a paragraph is too long for one, at the ends of its lines, then of
    its sentences; and only where a sentence is too long, in its midst.

    A window holds as many whole paragraphs, lines or sentences as fit. In the midst of a sentence each token belongs to
    the window that shows more of its neighbourhood: windows share `overlap` pieces and the border between them is the
    middle of what they share.

    sizes (Sequence[int]): pieces of each word. limit (int): pieces of a window without specials.
    words (Sequence[str] | None): the words themselves; None: no word is known to be a border.
    RETURNS (list[Window]): at least one, also for a text without words.
    """
    sums = np.concatenate([[0], np.cumsum(sizes, dtype="int64")])
    if sums[-1] <= limit:
        return [Window(text, 0, len(sizes), 0, len(sizes), int(sums[-1]) + 2)]
    stretches = packed(words, sums, limit) if words is not None else [(0, len(sizes), len(BORDERS))]
    return [
        window for start, end, _ in stretches for window in cut_stretch(sums, start, end, limit, overlap, text=text)
    ]


def cut_stretch(
    sums: np.ndarray, start: int, end: int, limit: int, overlap: int, *, text: int = 0, moved: int = 0
) -> list[Window]:
    """The windows of a stretch of words without borders. sums (ndarray): pieces before each word. moved (int): is
    added to the numbers of words."""
    parts = _sliding(sums[start : end + 1] - sums[start], limit, overlap)
    return [Window(text, *(value + start + moved for value in part[:4]), part[4]) for part in parts]


def packed(words: Sequence[str], sums: np.ndarray, limit: int, top: int = 0) -> list[tuple[int, int, int]]:
    """Stretches of words that end at borders, each as long as fits, but for a sentence that is longer alone.

    sums (ndarray): pieces before each word, and of all. top (int): the level of borders to begin with.
    RETURNS (list[tuple]): start, end (exclusive), and the level of the borders that the stretch was packed from; 3:
        a sentence, or part of one.
    """
    found: list[tuple[int, int, int]] = []
    waiting = [(0, len(words), top)]  # stretches to cut at borders of a level, the next one last
    while waiting:
        start, end, level = waiting.pop()
        if sums[end] - sums[start] <= limit or level == len(BORDERS):
            fits = sums[end] - sums[start] <= limit
            found.append((start, end, max(top, level - 1) if fits else level))
            continue
        parts = _cut(words, start, end, BORDERS[level])
        packs: list[tuple[int, int]] = []
        for first, last in parts:
            if packs and sums[last] - sums[packs[-1][0]] <= limit:
                packs[-1] = (packs[-1][0], last)
            else:
                packs.append((first, last))
        waiting += [(first, last, level + 1) for first, last in reversed(packs)]
    return found


def _cut(words: Sequence[str], start: int, end: int, is_border: Callable[[Sequence[str], int], bool]):
    """Stretches that end after a border."""
    ends = [i + 1 for i in range(start, end - 1) if is_border(words, i)] + [end]
    return list(zip([start, *ends], ends))


def _ends_sentence(words: Sequence[str], i: int) -> bool:
    """Whether a full stop stands here, and what may begin a sentence behind it."""
    return words[i] in STOPS and not words[i + 1][0].islower() and words[i + 1] not in CLOSING


BORDERS: tuple[Callable[[Sequence[str], int], bool], ...] = (  # of windows, the best first
    lambda words, i: is_blank_line(words[i]),
    lambda words, i: words[i].isspace() and "\n" in words[i],
    _ends_sentence,
)


def _sliding(sums: np.ndarray, limit: int, overlap: int) -> list[tuple[int, int, int, int, int]]:
    """Windows over a stretch that share `overlap` pieces, as start, end, own start, own end and size.

    sums (ndarray): pieces before each word, and of all.
    """
    n = len(sums) - 1
    if sums[-1] <= limit:
        return [(0, n, 0, n, int(sums[-1]) + 2)]
    bounds, start = [], 0
    while True:
        end = max(start + 1, int(np.searchsorted(sums, sums[start] + limit, "right")) - 1)
        bounds.append((start, end))
        if end == n:
            break
        start = max(start + 1, int(np.searchsorted(sums, sums[end] - overlap, "left")))
    borders = [0]
    for (_, end), (start, _) in zip(bounds, bounds[1:]):
        middle = (sums[start] + sums[end]) // 2
        borders.append(max(start, min(end, int(np.searchsorted(sums, middle, "left")))))
    borders.append(n)
    return [
        (start, end, borders[i], borders[i + 1], int(sums[end] - sums[start]) + 2)
        for i, (start, end) in enumerate(bounds)
    ]


def cut_items(
    items: Sequence[Item], pieces: Callable[[Sequence[str]], list], limit: int, overlap: int = 32
) -> list[Item]:
    """Training texts that fit: longer ones in windows (see `split_windows`), each with the spans that lie inside.

    A window ends before a span that it would cut; the next one shows that span whole, unless the
    span is longer than a window or meets another window's edge. What no window shows is counted.

    items (Sequence[Item]): the texts. pieces (Callable): words -> piece ids of each word.
    limit (int): pieces of a window without specials.
    """
    found, lost = [], 0
    for item in items:
        sizes = [len(ids) for ids in pieces(item.words)]
        windows = split_windows(sizes, limit, min(overlap, limit // 2 - 1), words=item.words)
        if len(windows) == 1:
            found.append(item)
            continue
        parts, shown = _parts_of(item, windows)
        found += parts
        lost += len(set(item.spans) - shown)
    if lost:
        logger.warning("%d spans do not fit into a window of %d pieces and are not trained on.", lost, limit)
    return found


def _parts_of(item: Item, windows: Sequence[Window]) -> tuple[list[Item], set[Place]]:
    """The windows of one text with the spans that lie inside, and these spans."""
    by_start = sorted(range(len(item.spans)), key=lambda i: item.spans[i][0])
    starts = [item.spans[i][0] for i in by_start]
    reached = list(accumulate((item.spans[i][1] for i in by_start), max, initial=0))  # by spans that start before
    by_end = sorted(((end, start) for start, end, _ in item.spans), reverse=True)
    ends = [-end for end, _ in by_end]
    opened = list(accumulate((start for _, start in by_end), min, initial=len(item.words)))  # by spans that end after
    own, every = set(item.absent), sorted({*item.absent, *(label for _, _, label in item.spans)})
    step = -(-len(every) // MAX_ABSENT) or 1
    unsure: list[list[Spot]] = [[] for _ in windows]  # of the windows that each place touches
    firsts, lasts = [window.start for window in windows], [window.end for window in windows]
    for spot in item.unsure:
        for number in range(bisect_right(lasts, spot[0]), bisect_left(firsts, spot[1])):
            unsure[number].append(spot)
    unknown = [(0, 0, label) for label in sorted(item.unknown)]  # also where no place of theirs is
    found, shown = [], set()
    for number, window in enumerate(windows):
        start = max(window.start, reached[bisect_left(starts, window.start)])
        end = min(window.end, opened[bisect_left(ends, -window.end)])
        begun = sorted(by_start[bisect_left(starts, start) : bisect_left(starts, end)])
        inside = [item.spans[i] for i in begun if item.spans[i][1] <= end]
        shown.update(inside)
        if start < end:
            here = {label for _, _, label in inside}
            absent = [label for label in every[number % step :: step] if label in own or label not in here]
            spans = [(s - start, e - start, label) for s, e, label in inside]
            spots = [(max(s, start) - start, min(e, end) - start, label) for s, e, label in unsure[number]]
            spots = [spot for spot in spots if spot[0] < spot[1]]
            found.append(
                item._replace(
                    words=item.words[start:end],
                    spans=spans,
                    absent=absent,
                    unsure=(*spots, *unknown),
                    links=_questions_in(item.links, start, end),
                )
            )
    return found, shown


def _questions_in(questions: Sequence[Question], start: int, end: int) -> tuple[Question, ...]:
    """Questions of which the head and all tails lie in a window, on its tokens."""
    found = []
    for question in questions:
        places = [(question.start, question.end), *question.tails]
        if all(start <= first and last <= end for first, last in places):
            head, *tails = ((first - start, last - start) for first, last in places)
            found.append(Question(*head, question.label, tuple(tails)))
    return tuple(found)
