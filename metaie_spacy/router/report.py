"""A page for people who decide on a router: curves, figures, and texts of each route. It holds texts: keep it local."""

from html import escape
from typing import Any, Sequence

import numpy as np

from ..data.rows import places
from ..measure.page import curves, html_page
from .evaluate import GRID
from .fitted import Fitted, Table
from .outcomes import Spots, outcomes_of
from .policies import Policy, cut_of
from .recorded import Answered

EXAMPLES = 8  # texts of each kind
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
    drawn = {name: own for name, own in result["policies"].items() if "curve" in own}
    parts = [
        "<h1>Router</h1>",
        f"<p>{result['texts']} texts, {result['gold']} gold spans; small model F {result['small']:.1%}, large model "
        f"({escape(fitted.llm)}) F {result['large']:.1%}. Shown below: policy <b>{escape(policy.name)}</b>, "
        f"ask = {escape(str(ask or 'as the policy decides'))}: {np.mean(scores > cut):.1%} of the texts are asked.</p>",
        curves({name: (GRID, own["curve"]) for name, own in drawn.items()}, "F by share of calls"),
        _figures(result),
    ]
    for (asked, better), title in KINDS.items():
        at = np.flatnonzero(((scores > cut) == asked) & (pays == better))
        parts.append(f"<h2>{title}</h2><p>{len(at)} texts</p><ul>")
        parts += [_example(answered, int(i), float(scores[i])) for i in at[:examples]]
        parts.append("</ul>")
    return html_page("Router", parts)


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
