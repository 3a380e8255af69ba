"""Several answers on one text, made one: what they agree on is known, what they dispute is open."""

from collections import Counter
from functools import cached_property
from typing import Iterable, Iterator, NamedTuple

from ..data.known import Stretches, stretches_by_label
from ..data.rows import Place, asked_of, labels_of, place, places, spans_at
from .links import linked, pairs_of
from .records import OPINION, Tally

RULES = ("unsure", "vote", "first", "all")


class Opinion(NamedTuple):
    """What one answer is among those on its text.

    annotator (str): who gave it. complete (bool | None): whether all spans of the text were asked for; False: one or
        some suggestions were accepted or rejected; None: the data does not say, see `united`.
    rejected (frozenset[Place]): spans that are not there. kept (str | None): id of a row of ours that was reviewed.
    """

    annotator: str
    complete: bool | None = True
    rejected: frozenset[Place] = frozenset()
    kept: str | None = None


def united(rows: Iterable[dict], rule: str, tally: Tally) -> Iterator[dict]:
    """Rows with an opinion as one row a text, in the place of the first; other rows as they are.

    Accepted spans unite; a rejected one is negative at its place, for its label only. Where nobody answered a text
    completely, all else of it is unsure. An answer that does not say whether it is complete is one suggestion if its
    annotator gave several on the text, none with more than one span.

    rule (str): what decides where answers differ. "unsure": nobody; "vote": most of those who answered, a tie is
        unsure; "first": the first one; "all": a span that anybody gave stands.
    """
    groups: dict[tuple, list[dict]] = {}
    order: list[dict | list[dict]] = []
    for row in rows:
        opinion = row.get(OPINION)
        if opinion is None:
            order.append(row)
            continue
        group = groups.setdefault((row["text"], opinion.kept), [])
        if not group:
            order.append(group)
        group.append(row)
    for part in order:
        yield part if isinstance(part, dict) else _united(part, rule, tally)


def _united(rows: list[dict], rule: str, tally: Tally) -> dict:
    """One row of those on one text. The first gives its other fields."""
    tally.united += len(rows) - 1
    opinions = _settled(rows)
    is_known = any(opinion.complete for opinion in opinions)  # beyond the places that were asked about
    asked = dict.fromkeys(label for row in rows for label in (asked_of(row) if is_known else sorted(labels_of(row))))
    asked |= dict.fromkeys(label for opinion in opinions for _, _, label in sorted(opinion.rejected))
    result = {name: value for name, value in rows[0].items() if name not in (OPINION, "asked", "unsure")}
    if len(rows) == 1 and opinions[0].complete:
        return {name: value for name, value in rows[0].items() if name != OPINION}
    spans, unsure, decided = [], [], []
    found = {place(span): span for row in reversed(rows) for span in row["spans"]}
    votes = Votes(rows, opinions)
    for spot in sorted(votes.said):
        verdict = votes.verdict(spot, rule)
        if verdict is None:
            unsure.append(spot)
        else:
            decided.append(spot)
            spans += [found[spot]] if verdict else []
    kept = {place(span) for span in spans}
    overruled = sum(spot not in kept for row in rows for spot in places(row))
    tally.lose("disputed", overruled)
    tally.seen -= sum(len(row["spans"]) for row in rows) - overruled - len(spans)  # that several gave
    if not is_known:
        by_label, size = stretches_by_label(decided), len(result["text"])
        unsure += [(*gap, label) for label in asked for gap in by_label.get(label, Stretches(())).gaps(size)]
    open_ = {label for _, _, label in unsure}
    known = {span["label"] for span in spans} | open_
    result |= {"spans": spans, "absent": [label for label in asked if label not in known]}
    if any(row.get("links") for row in rows):
        result["links"] = _united_links(rows, rule, tally)
    return result | ({"asked": list(asked), "unsure": spans_at(sorted(unsure))} if unsure else {})


def _united_links(rows: list[dict], rule: str, tally: Tally) -> list[dict]:
    """Heads and labels on which the answers agree, or which the rule decides; nothing is said of the others."""
    found: dict[tuple, dict[int, list]] = {}
    for n, row in enumerate(rows):
        for link in row.get("links", []):
            own = found.setdefault(((*link["head"],), link["label"]), {}).setdefault(n, [])
            own += [(*tail,) for tail in link["tails"]]
    pairs, asked = [], []
    for (head, label), answers in found.items():
        votes = Counter(tail for own in answers.values() for tail in dict.fromkeys(own))
        tails = list(votes)
        if rule == "first":
            kept = answers.get(0, [])
        elif rule == "all":
            kept = tails
        else:
            share = len(rows) if rule == "unsure" else len(rows) // 2 + 1
            kept = [tail for tail in tails if votes[tail] >= share]
        is_decided = rule != "unsure" or len(kept) == len(tails)
        pairs += [(head, label, tail) for tail in kept if is_decided]
        asked += [(head, label)] if is_decided and kept else []
    tally.drop("disputed link", len({pair for row in rows for pair in pairs_of(row)} - set(pairs)))
    return linked(pairs, asked)


def _settled(rows: list[dict]) -> list[Opinion]:
    """The opinions of rows on one text, each of which now says whether it is complete."""
    sizes: dict[str, list[int]] = {}
    for row in rows:
        own = row[OPINION]
        sizes.setdefault(own.annotator, []).append(len(row["spans"]) + len(own.rejected))
    suggested = {annotator for annotator, found in sizes.items() if len(found) > 1 and max(found) <= 1}
    opinions = [row[OPINION] for row in rows]
    return [
        own if own.complete is not None else own._replace(complete=own.annotator not in suggested) for own in opinions
    ]


class Votes:
    """What the answers on one text say of each place that one of them names.

    said (dict): place -> number of the answer -> whether the span is there. complete (list[int]): answers that say
        of every place that they do not name that it is none.
    """

    def __init__(self, rows: list[dict], opinions: list[Opinion]):
        self.said: dict[Place, dict[int, bool]] = {}
        self.complete = [n for n, opinion in enumerate(opinions) if opinion.complete]
        for n, (row, opinion) in enumerate(zip(rows, opinions)):
            for spot in opinion.rejected:
                self.said.setdefault(spot, {})[n] = False
            for spot in places(row):
                self.said.setdefault(spot, {})[n] = True

    def verdict(self, spot: Place, rule: str) -> bool | None:
        """Whether a span is there; None: that stays open."""
        said = self.said[spot]
        if rule == "first":
            return said.get(min([*said, *self.complete[:1]]), False)  # the first complete one answers for itself
        yes = sum(said.values())
        no = len(said) - yes + len(self.complete) - sum(n in self._is_complete for n in said)
        if rule == "all":
            return yes > 0
        if rule == "vote":
            return None if yes == no else yes > no
        return None if yes and no else yes > 0

    @cached_property
    def _is_complete(self) -> set[int]:
        return set(self.complete)
