"""Links as arcs above their text, in SVG, and as tables of HTML."""

import html
import unicodedata
from typing import Any, Iterable, Iterator, Sequence

from ..linking.found import Found

LONGEST = 32  # characters of a mention, and of the words between two, that are shown
WIDE, HIGH = 8.4, 26  # pixels: of a letter, and of a step from arc to arc
LETTERS = 'font-family="monospace" font-size="14"'
TABLE = '<table style="border-collapse: collapse; margin: 1rem 0; font-size: 14px">{}</table>'
CELL = '<{tag} style="border: 1px solid #ddd; padding: 4px 8px; text-align: left">{text}</{tag}>'

Arc = tuple[int, int, str]  # unit of the head, unit of the tail, name
Unit = tuple[int, int, str]  # first and end character of mentions that overlap, and their labels


def drawings(text: str, found: Found) -> Iterator[str]:
    """The links of a text as pictures, one for each stretch that no arc leaves."""
    units, at = _units(found)
    pairs = {(at[link["head"]], at[link["tail"]], link["label"]) for link in found.links or ()}
    own: list[Arc] = []
    last = -1
    for arc in sorted((pair for pair in pairs if pair[0] != pair[1]), key=lambda arc: (sorted(arc[:2]), arc)):
        if own and min(arc[:2]) > last:
            yield _drawing(text, units, own, last)
            own = []
        own.append(arc)
        last = max(last, *arc[:2])
    if own:
        yield _drawing(text, units, own, last)


def _units(found: Found) -> tuple[list[Unit], dict[int, int]]:
    """Linked mentions, those that overlap as one, in order; and the unit of each span by its number."""
    numbers = {link[end] for link in found.links or () for end in ("head", "tail")}
    units: list[Unit] = []
    at: dict[int, int] = {}
    for number in sorted(numbers, key=lambda n: (found.spans[n]["start"], -found.spans[n]["end"])):
        span = found.spans[number]
        if units and span["start"] < units[-1][1]:
            start, end, label = units[-1]
            labels = [*label.split(", "), span["label"]]
            units[-1] = start, max(end, span["end"]), ", ".join(dict.fromkeys(labels))
        else:
            units.append((span["start"], span["end"], span["label"]))
        at[number] = len(units) - 1
    return units, at


def _drawing(text: str, units: Sequence[Unit], arcs: Sequence[Arc], last: int) -> str:
    first = min(arcs[0][:2])
    units, arcs = units[first : last + 1], [(head - first, tail - first, name) for head, tail, name in arcs]
    levels = _levels(arcs)
    ground = HIGH * max(levels) + 30.0  # where the words stand
    parts, middles, x, before = [], [], 10.0, units[0][0]
    for start, end, label in units:
        gap = _shown(text[before:start])
        parts.append(_words(x, ground, gap, "#888"))
        x += WIDE * (_width(gap) + 2 * bool(before < start))
        words = _shown(text[start:end])
        room = WIDE * max(_width(words), _width(_shown(label)) * 0.8)
        middles.append(x + WIDE * _width(words) / 2)
        parts += [
            _words(x, ground, words, "#000", ' font-weight="bold"'),
            _words(x, ground + 16, _shown(label), "#3572b0", ' font-size="11"'),
        ]
        x, before = x + room + WIDE, end
    parts += [_arc(middles, arc, level, ground - 16) for arc, level in zip(arcs, levels)]
    wide, high = x + 10, ground + 26
    return (
        f'<div style="overflow-x: auto"><svg xmlns="http://www.w3.org/2000/svg" width="{wide:.0f}" height="{high:.0f}" '
        f"{LETTERS}>{''.join(parts)}</svg></div>"
    )


def _levels(arcs: Sequence[Arc]) -> list[int]:
    """How high each arc goes: above those that it spans."""
    height = [0] * (max(max(arc[:2]) for arc in arcs) + 1)
    levels = [0] * len(arcs)
    for i in sorted(range(len(arcs)), key=lambda i: (abs(arcs[i][0] - arcs[i][1]), i)):
        first, last = sorted(arcs[i][:2])
        levels[i] = max(height[first:last]) + 1
        height[first:last] = [levels[i]] * (last - first)
    return levels


def _arc(middles: Sequence[float], arc: Arc, level: int, y: float) -> str:
    """From the head to the tail, with the point at the tail."""
    head, tail, name = middles[arc[0]], middles[arc[1]], _shown(arc[2])
    side = 6 if head < tail else -6  # arcs of one word leave and meet it at different places
    head, tail, top, room = head + side, tail - side, y - HIGH * level, 6.8 * _width(name)
    middle, peak = (head + tail) / 2, y - 0.75 * HIGH * level
    return (
        f'<path d="M{head:.1f},{y:.1f} C{head:.1f},{top:.1f} {tail:.1f},{top:.1f} {tail:.1f},{y:.1f}" fill="none" '
        f'stroke="#555"/><path d="M{tail:.1f},{y + 3:.1f} l-4,-7 h8 z" fill="#555"/>'
        f'<rect x="{middle - room / 2:.1f}" y="{peak - 7:.1f}" width="{room:.1f}" height="13" fill="#fff"/>'
        f'<text x="{middle:.1f}" y="{peak + 4:.1f}" font-size="11" text-anchor="middle">{html.escape(name)}</text>'
    )


def _words(x: float, y: float, words: str, colour: str, more: str = "") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" fill="{colour}"{more}>{html.escape(words)}</text>' if words else ""


def _shown(text: str) -> str:
    """Both ends of a text, on one line."""
    text = " ".join(text.split())
    if len(text) <= LONGEST:
        return text
    return f"{text[: LONGEST // 2 - 1].rstrip()} … {text[1 - LONGEST // 2 :].lstrip()}"


def _width(text: str) -> int:
    """In letters of one width."""
    return sum(2 if unicodedata.east_asian_width(sign) in "WF" else 1 for sign in text)


def tables(found: Found) -> Iterator[str]:
    """A table for each record that has an answer, and one of the facts that stand in none."""
    by_head: dict[int, list[tuple[str, Any, float]]] = {}
    for link in found.links or ():
        by_head.setdefault(link["head"], []).append((link["label"], link["tail"], link["score"]))
    for number, span in enumerate(found.spans):
        for name, chosen in span.get("attributes", {}).items():
            by_head.setdefault(number, []).append((name, chosen["option"], chosen["score"]))
    told: set[tuple[int, str]] = set()

    def rows(head: int, names: set[str], fields: set[str], before: str) -> Iterator[tuple[str, str, str]]:
        """Fields with their answers, and behind each what was asked of it in turn."""
        for name, value, score in by_head.get(head, ()):
            if name in names & fields:
                told.add((head, name))
                yield f"{before}{name}", _told(found, value), _number(score)
                if isinstance(value, int):
                    yield from rows(value, asked_of.get(name, set()), fields, f"{before}{name}: ")

    asked_of: dict[str, set[str]] = {}
    for head, name in found.asked:
        asked_of.setdefault(head, set()).add(name)
    for kind, anchor, fields in found.records:
        for number, span in enumerate(found.spans):
            if span["label"] == anchor and not span.get("answer"):
                lines = list(rows(number, set(fields), set(fields), ""))
                if lines:
                    yield _table((kind, span["text"], span["score"]), lines)
    rest = [
        (found.spans[head]["text"], name, _told(found, value), _number(score))
        for head, facts in sorted(by_head.items())
        for name, value, score in facts
        if (head, name) not in told
    ]
    if rest:
        yield _table(("head", "link", "tail", "score"), rest)


def _told(found: Found, value: Any) -> str:
    return found.spans[value]["text"] if isinstance(value, int) else value


def _number(score: float | None) -> str:
    return "" if score is None else f"{score:.2f}"


def _table(head: Sequence[Any], rows: Iterable[Sequence[str]]) -> str:
    head = [_number(value) if isinstance(value, (float, type(None))) else value for value in head]
    lines = [_line("th", head), *(_line("td", row) for row in rows)]
    return TABLE.format("".join(lines))


def _line(tag: str, values: Iterable[str]) -> str:
    return f"<tr>{''.join(CELL.format(tag=tag, text=html.escape(' '.join(value.split()))) for value in values)}</tr>"
