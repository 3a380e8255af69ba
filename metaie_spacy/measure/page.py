"""Parts of a report as one HTML file that asks no network: tables, bars with intervals, curves."""

from html import escape
from typing import Any, Iterable, Mapping, Sequence

from ..data.inert import for_terminal

WIDE, HIGH, LEFT, LOW = 640, 360, 50, 30  # of a picture of curves, and of its margins
NAMES, BAR = 230, 18  # width of a bar's name, and height of a bar
COLOURS = "#1b6ca8 #c0392b #27864a #8e44ad #b9770e #16a085 #2c3e50 #7f8c8d".split()
STYLE = (
    "body{font:15px/1.45 system-ui,sans-serif;max-width:70em;margin:2em auto;padding:0 1em}"
    "table{border-collapse:collapse}td,th{padding:.2em .7em;border-bottom:1px solid #ddd;text-align:right}"
    "td:first-child,th:first-child{text-align:left}li{margin:.8em 0}small{color:#666}"
)


def html_page(title: str, parts: Iterable[str]) -> str:
    """A whole page from its parts, which are HTML."""
    head = f'<!DOCTYPE html><html lang="en"><meta charset="utf-8"><title>{shown(title)}</title><style>{STYLE}</style>'
    return f"{head}{''.join(parts)}</html>"


def shown(value: Any) -> str:
    """A value as HTML shows it: rates with three digits, nothing where it is None."""
    if value is None:
        return ""
    return f"{value:.3f}" if isinstance(value, float) else escape(for_terminal(str(value)))


def html_table(header: Sequence[str], rows: Iterable[Sequence[Any]], none: str = "none") -> str:
    """A table; a paragraph that says `none` where it would be empty."""
    lines = ["".join(f"<td>{shown(value)}</td>" for value in row) for row in rows]
    if not lines:
        return f"<p>{escape(none)}</p>"
    head = "".join(f"<th>{escape(name)}</th>" for name in header)
    return f"<table><tr>{head}</tr>{''.join(f'<tr>{line}</tr>' for line in lines)}</table>"


def bars(values: Sequence[tuple[str, float, float, float]], about: str) -> str:
    """A bar for each value with its interval, as SVG. values (Sequence): name, value, low and high end, from 0 to 1."""
    wide = WIDE - NAMES - 60
    marks = []
    for number, (name, value, low, high) in enumerate(values):
        top = number * BAR
        at, ends = NAMES + wide * _bound(value), [NAMES + wide * _bound(end) for end in (low, high)]
        size = f'width="{at - NAMES:.1f}" height="{BAR - 6}"'
        marks.append(f'<rect x="{NAMES}" y="{top + 3}" {size} fill="{COLOURS[0]}" opacity=".6"/>')
        marks.append(f'<path d="M{ends[0]:.1f} {top + BAR / 2}H{ends[1]:.1f}" stroke="#222" stroke-width="2"/>')
        marks.append(f'<text x="0" y="{top + 13}" font-size="12">{escape(for_terminal(name)[:34])}</text>')
        marks.append(f'<text x="{WIDE - 50}" y="{top + 13}" font-size="12">{value:.3f}</text>')
    return _svg(marks, len(values) * BAR, about)


def curves(drawn: Mapping[str, tuple[Sequence[float], Sequence[float]]], about: str) -> str:
    """Lines over shares from 0 to 1, as SVG. drawn (Mapping): name -> x and y of each point."""
    low, high = (pick(pick(y) for _, y in drawn.values()) for pick in (min, max))
    marks = []
    for number, (name, (x, y)) in enumerate(drawn.items()):
        points = " ".join(f"{_x(share):.1f},{_y(value, low, high):.1f}" for share, value in zip(x, y))
        colour = COLOURS[number % len(COLOURS)]
        marks.append(f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="2"/>')
        place = f'x="{WIDE - 110}" y="{HIGH - LOW - 12 - 16 * number}"'
        marks.append(f'<text {place} fill="{colour}" font-size="13">{escape(for_terminal(name))}</text>')
    for value in (low, high):
        marks.append(f'<text x="2" y="{_y(value, low, high) + 4:.1f}" font-size="12">{value:.1%}</text>')
    for share in (0, 0.5, 1):
        marks.append(f'<text x="{_x(share) - 12:.1f}" y="{HIGH - 8}" font-size="12">{share:.0%}</text>')
    return _svg(marks, HIGH, about)


def _svg(marks: Sequence[str], high: int, about: str) -> str:
    label = f'viewBox="0 0 {WIDE} {high}" width="{WIDE}" role="img" aria-label="{escape(about)}"'
    return f"<svg {label}>{''.join(marks)}</svg>"


def _bound(value: float) -> float:
    return min(1.0, max(0.0, value))


def _x(share: float) -> float:
    return LEFT + share * (WIDE - LEFT - 20)


def _y(value: float, low: float, high: float) -> float:
    return HIGH - LOW - (value - low) / max(1e-9, high - low) * (HIGH - 2 * LOW)
