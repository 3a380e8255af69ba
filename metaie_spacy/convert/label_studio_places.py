"""Where the regions and relations of Label Studio lie in a text."""

import json
from typing import Any, Callable

from .links import At, Pair
from .records import Skipped, Tally

MAX_SPACING = 10  # times as many characters as its own words, and 1,000 more, that a region may count


def offsets(regions: list[dict], text: str) -> list[tuple[int, int]]:
    """Start and end character of regions that count characters or, as some versions do, UTF-16 code units.

    What most regions' own words fit is taken, also for regions that do not repeat their words.
    """
    for region in regions:
        if not all(isinstance(region.get(name), int) for name in ("start", "end")):
            raise Skipped(
                "bad row", f'the region {json.dumps(region)[:200]} must have whole numbers "start" and "end".'
            )
    units = [i for i, char in enumerate(text) for _ in range(1 + (ord(char) > 0xFFFF))]
    rulers = [list(range(len(text))), units] if len(units) > len(text) else [units]

    def place(region: dict, ruler: list[int]) -> tuple[int, int] | None:
        start, end = region["start"], region["end"]
        return (ruler[start], ruler[end - 1] + 1) if 0 <= start < end <= len(ruler) else None

    def fits(region: dict, ruler: list[int], view: Callable[[str], str] | None = _lines) -> bool:
        at, words = place(region, ruler), region.get("text")
        if at is None or not isinstance(words, str) or at[1] - at[0] > MAX_SPACING * len(words) + 1000:
            return False
        return view(text[slice(*at)]) == view(words) if view else _in_whole_words(words, text, at)

    views = (_lines, _without_spacing, None)
    rulers.sort(key=lambda ruler: -sum(fits(region, ruler) for region in regions))
    found = []
    for region in regions:
        name = f"the region {region['start']}:{region['end']}"
        fitting = (ruler for view in views for ruler in rulers if fits(region, ruler, view))
        at = place(region, next(fitting, rulers[0]))
        if at is None:
            raise Skipped("bad row", f"{name} lies outside its text of {len(text)} characters or is empty.")
        if isinstance(region.get("text"), str) and not any(
            fits(region, ruler, view) for view in views for ruler in rulers
        ):
            raise Skipped("bad offsets", f"{name} is {text[slice(*at)]!r}, not {region['text']!r}.")
        found.append(at)
    return found


def _lines(text: str) -> str:
    """Label Studio writes line ends in several ways."""
    return text.replace("\\n", "\n").replace("\r", "\n")


def _without_spacing(text: str) -> str:
    """It may also repeat a region's words with less white space than it counts."""
    return " ".join(_lines(text).split())


def _in_whole_words(words: str, text: str, at: tuple[int, int]) -> bool:
    """Where regions are made of whole words, it repeats what was selected of them and counts the whole."""
    start, end = at
    own, before, after = text[start:end], text[max(start - 1, 0) : start], text[end : end + 1]
    if not words.strip() or (own[0].isalnum() and before.isalnum()) or (own[-1].isalnum() and after.isalnum()):
        return False
    found = own.find(words)
    return found >= 0 and not any(char.isspace() for char in own[:found] + own[found + len(words) :])


def pairs_between(relations: list[dict], at: dict[Any, At], tally: Tally) -> list[Pair]:
    """Links of relations between regions.

    RAISES (Skipped): a region is not there. Relations without a label are counted.
    """
    pairs = []
    for relation in relations:
        ends = [relation.get("from_id"), relation.get("to_id")]
        labels, direction = relation.get("labels") or [], relation.get("direction", "right")
        if not all(isinstance(id, (str, int)) and id in at for id in ends) or not isinstance(labels, list):
            raise Skipped(
                "bad row", f"the relation {json.dumps(relation)[:200]} is not between two regions of its task."
            )
        if direction not in ("left", "right", "bi"):
            raise Skipped(
                "bad row", f"the relation {json.dumps(relation)[:200]} has a direction other than left, right or bi."
            )
        head, tail = (at[id] for id in ends)
        if not all(isinstance(label, str) for label in labels):
            raise Skipped("bad row", f"the relation {json.dumps(relation)[:200]} has a label that is no string.")
        tally.drop("relation without label", 0 if labels else 1)
        pairs += [(head, label, tail) for label in labels if direction != "left"]
        pairs += [(tail, label, head) for label in labels if direction != "right"]
    return pairs
