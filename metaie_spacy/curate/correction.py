"""Rows that are added to a training split, so that what is rare, or named otherwise, is seen more often."""

import random
from collections import Counter
from typing import Callable, Iterable, Sequence

from ..data.ledger import Sourced
from ..data.rows import Row, labels_of
from .names import GENDERS, read_names, swapped

MOST = 4  # times that a row stands in the split
Values = Callable[[Row], Iterable[str]]


def with_swapped_names(items: Sequence[Sourced], share: float, seed: int = 0) -> list[Sourced]:
    """Copies of a share of the rows that name people, with names of other origins and genders in turn (counterfactual
    augmentation, Lu et al. 2018, arXiv 1807.11714).

    A copy belongs to the document of its row. RETURNS (list): the copies alone.
    """
    rng = random.Random(seed)
    cells = [(origin, gender) for gender in GENDERS for origin in read_names()]
    rng.shuffle(cells)
    found = []
    for item in items:
        new = swapped(item.row, *cells[len(found) % len(cells)], rng.randrange(10_000))
        if new is not None and rng.random() < share:
            found.append(item._replace(row={**new, "id": f"{item.row['id']}{_mark(item.row)}swapped"}))
    return found


def repeated(items: Sequence[Sourced], power: float, seed: int = 0) -> list[Sourced]:
    """Copies of rows of rare labels and rare domains, up to four of a row in all.

    A row stands (n of the median / n of its own) ** power times, of the mean over its labels and over its domain
    ("source"), rounded by chance. power (float): 0: no copies; 1: until all are alike, as far as four times goes.
    RETURNS (list): the copies alone.
    """
    rng = random.Random(seed)
    by_label = _times(items, labels_of, power)
    by_domain = _times(items, lambda row: [str(row.get("source", ""))], power)
    found = []
    for item in items:
        wanted = max(1.0, by_label(item.row) * by_domain(item.row))
        times = min(MOST, int(wanted + rng.random()))
        for number in range(1, times):
            found.append(item._replace(row={**item.row, "id": f"{item.row['id']}{_mark(item.row)}again{number}"}))
    return found


def _times(items: Sequence[Sourced], of: Values, power: float) -> Callable[[Row], float]:
    """How often a row should stand by one of its traits."""
    counts: Counter[str] = Counter()
    for item in items:
        counts.update(of(item.row))
    # Half of all that is annotated has values that are more frequent than this one.
    left, median = counts.total() / 2, 1
    for _, n in counts.most_common():
        left -= n
        if left <= 0:
            median = n
            break

    def times(row: Row) -> float:
        values = list(of(row))
        return sum((median / counts[value]) ** power for value in values) / len(values) if values else 1.0

    return times


def _mark(row: Row) -> str:
    """What comes between the id of a row and its copy's number, so that both are of one document."""
    return "" if "#" in row["id"] else "#"
