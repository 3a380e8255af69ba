"""A page for people who decide on a router: curves, figures, and texts of each route. It holds texts: keep it local."""

from html import escape
from typing import Any, Sequence

import numpy as np

from ..data.rows import places
from .evaluate import GRID
from .fitted import Fitted, Table
from .outcomes import Spots, outcomes_of
from .policies import Policy, cut_of
from .recorded import Answered

EXAMPLES = 8  # texts of each kind
WIDE, HIGH, LEFT, LOW = 640, 360, 50, 30  # of the picture, and of its margins
COLOURS = "#1b6ca8 #c0392b #27864a #8e44ad #b9770e #16a085 #2c3e50 #7f8c8d".split()
STYLE = (
    "body{font:15px/1.45 system-ui,sans-serif;max-width:70em;margin:2em auto;padding:0 1em}"
    "table{border-collapse:collapse}td,th{padding:.2em .7em;border-bottom:1px solid #ddd;text-align:right}"
    "td:first-child,th:first-child{text-align:left}li{margin:.8em 0}small{color:#666}"
)
KINDS = {
    (True, True): "Asked, and better for it",
    (True, False): "Asked in vain",
    (False, True): "Kept small, and worse for it",
    (False, False): "Kept small, as good as the large model",
}


def page(
    answered: Answered,
    fitted: Fitted,
    policy: Policy,
    ask: dict[str, float],
    result: dict[str, Any],
    *,
    examples: int = EXAMPLES,
) -> str:
    """An HTML page of what `evaluate` found, with texts of each kind that a policy decides on.

    policy (Policy), ask (dict): whose decisions are shown. result (dict): as `evaluate` gives it. examples (int): texts
    of each kind.
    """
    cut = cut_of(policy, ask, fitted)
    scores = policy.scores(Table(answered.facts, fitted))
    outcomes = outcomes_of(answered.rows, answered.small, answered.large)
    pays = outcomes.errors[:, 0] > outcomes.errors[:, 1]
    parts = [
        "<h1>Router</h1>",
        f"<p>{result['texts']} texts, {result['gold']} gold spans; small model F {result['small']:.1%}, large model "
        f"({escape(fitted.llm)}) F {result['large']:.1%}. Shown below: policy <b>{escape(policy.name)}</b>, "
        f"ask = {escape(str(ask or 'as the policy decides'))}: {np.mean(scores > cut):.1%} of the texts are asked.</p>",
        _picture(result),
        _figures(result),
    ]
    for (asked, better), title in KINDS.items():
        at = np.flatnonzero(((scores > cut) == asked) & (pays == better))
        parts.append(f"<h2>{title}</h2><p>{len(at)} texts</p><ul>")
        parts += [_example(answered, int(i), float(scores[i])) for i in at[:examples]]
        parts.append("</ul>")
    head = f'<!DOCTYPE html><html lang="en"><meta charset="utf-8"><title>Router</title><style>{STYLE}</style>'
    return f"{head}{''.join(parts)}</html>"


def _figures(result: dict[str, Any]) -> str:
    rows = [
        f"<tr><td>{escape(name)}</td><td>{own['aiq']:.1%}</td><td>{own['f_at_half']:.1%}</td>"
        + "".join(f"<td>{'never' if share is None else f'{share:.0%}'}</td>" for share in own["share_for"].values())
        + "</tr>"
        for name, own in result["policies"].items()
        if "aiq" in own
    ]
    titles = ("policy", "AIQ", "F at 50 % of calls", "calls for 90 %", "95 %", "99 % of its F")
    head = "".join(f"<th>{title}</th>" for title in titles)
    return f"<table><tr>{head}</tr>{''.join(rows)}</table>"


def _picture(result: dict[str, Any]) -> str:
    """Curves of F by the share of calls, as SVG."""
    drawn = {name: own["curve"] for name, own in result["policies"].items() if "curve" in own}
    low, high = (pick(pick(own) for own in drawn.values()) for pick in (min, max))
    marks = []
    for number, (name, own) in enumerate(drawn.items()):
        points = " ".join(f"{_x(share):.1f},{_y(f, low, high):.1f}" for share, f in zip(GRID, own))
        colour = COLOURS[number % len(COLOURS)]
        marks.append(f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="2"/>')
        place = f'x="{WIDE - 110}" y="{HIGH - LOW - 12 - 16 * number}"'
        marks.append(f'<text {place} fill="{colour}" font-size="13">{escape(name)}</text>')
    for f in (low, high):
        marks.append(f'<text x="2" y="{_y(f, low, high) + 4:.1f}" font-size="12">{f:.1%}</text>')
    for share in (0, 0.5, 1):
        marks.append(f'<text x="{_x(share) - 12:.1f}" y="{HIGH - 8}" font-size="12">{share:.0%}</text>')
    label = f'viewBox="0 0 {WIDE} {HIGH}" width="{WIDE}" role="img" aria-label="F by share of calls"'
    return f"<svg {label}>{''.join(marks)}</svg>"


def _x(share: float) -> float:
    return LEFT + share * (WIDE - LEFT - 20)


def _y(f: float, low: float, high: float) -> float:
    return HIGH - LOW - (f - low) / max(1e-9, high - low) * (HIGH - 2 * LOW)


def _example(answered: Answered, i: int, score: float) -> str:
    row = answered.rows[i]
    sides: Sequence[tuple[str, Spots]] = (
        ("gold", set(places(row))),
        ("small", answered.small[i]),
        ("large", answered.large[i]),
    )
    told = "<br>".join(f"<b>{name}</b>: {_spans(row['text'], spots) or '-'}" for name, spots in sides)
    return f"<li><small>{escape(str(row['id']))}, score {score:.3f}</small><br>{escape(row['text'])}<br>{told}</li>"


def _spans(text: str, spots: Spots) -> str:
    return "; ".join(f"{escape(text[start:end])} <small>{escape(label)}</small>" for start, end, label in sorted(spots))
