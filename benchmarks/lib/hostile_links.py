"""Hostile texts that are asked for links: what is asked of them, and what must hold of every answer."""

import json
import math
import random
from collections import Counter
from typing import Any

from spacy.tokens import Doc

from metaie_spacy import links, pipe_with_labels, records

KEY, ANSWERS = "metaie", "metaie_answers"
CLOSE = 1e-4  # between the scores of a text alone and among others
ALONE = 200  # texts of at most LONGEST characters that are asked once more, each alone
LONGEST = 1000
# RUN finds heads where no model would: in runs of any signs.
LABELS = {
    "PERSON": "person", "ORG": "organization", "PLACE": ["location", "Ort", "人物"], "DATE": "date",
    "RUN": {"pattern": r"\S{7,20}"},
}  # fmt: skip
# A tree of three links, questions asked back, typed and free tails, several heads, and every limit there is.
LINKS = {
    "works_for": {"head": "PERSON", "query": "employer", "inverse": "employee", "tail": "ORG", "one_head": True},
    "based_in": {"head": ["ORG", "works_for"], "query": ["headquarters", "seat"], "tail": ["PLACE", "RUN"], "max": 2},
    "in_country": {"head": "based_in", "query": "country"},
    "job": {"head": "PERSON", "query": "job title", "max": 1},
    "near": {"head": "RUN", "query": "what is beside it", "inverse": "what it is beside", "tail": "RUN", "max": 3},
    "said_of": {"head": ["RUN", "job"], "query": "opinion", "threshold": 0.3},
}
ATTRIBUTES = {"tone": {"head": ["RUN", "PERSON"], "options": {"good": "good thing", "bad": ["bad thing", "😡"]}}}
RECORDS = {"person": {"anchor": "PERSON"}, "run": {"anchor": "RUN", "fields": ["near", "tone"]}}


def random_ask(rng: random.Random, size: int) -> dict[str, Any]:
    """What a text of so many characters is asked; low thresholds find much, so long texts have higher ones."""
    labels = dict(LABELS)
    if size > 1000:
        labels["RUN"] = {"pattern": r"\S{12,60}"}
    schema: dict[str, Any] = {"labels": labels, "links": LINKS, "attributes": ATTRIBUTES, "records": RECORDS}
    schema |= {"threshold": rng.choice((0.05, 0.2)), "flat": rng.random() < 0.5}
    return schema | {"link_threshold": rng.choice((0.02, 0.1, 0.5))}


def check_links(doc: Doc, text: str, ask: dict[str, Any]) -> Counter:
    """RAISES (AssertionError): something about the answer is wrong."""
    assert doc.text == text, "the doc holds another text"
    places = {key: set() for key in (KEY, ANSWERS)}
    for key, found in places.items():
        scores = doc.spans[key].attrs["scores"]
        assert len(scores) == len(doc.spans[key]), "scores do not fit the spans"
        assert all(0 <= float(score) <= 1 for score in scores), "a span's score lies outside [0, 1]"
        for span in doc.spans[key]:
            assert span.text == text[span.start_char : span.end_char], "the span's text is not the doc's slice"
            assert span.text.strip(), "a span is white space"
            found.add((span.start_char, span.end_char, span.label_))
    attrs = {name: doc.spans[KEY].attrs[name] for name in ("links", "asked_links", "attributes", "records")}
    assert json.loads(json.dumps(attrs)) == attrs, "the notes are no plain types"
    assert {name for _, name in attrs["asked_links"]} == {*LINKS, *ATTRIBUTES}, "not all links count as asked"
    entries = attrs["links"]
    tails_of, answered = {}, set()
    for group, *head, name, other, start, end, label, score in entries:
        tails_of.setdefault((name, *head[:2]), []).append((start, end))
        answered.add((name, start, end))
        link = LINKS[name]
        least = link.get("threshold", ask["link_threshold"])
        assert math.isfinite(score) and least <= score <= 1, "a link's score is no probability above its threshold"
        assert tuple(head) in places[group], "a head is no span of the doc"
        assert (start, end, label) in places[other], "a tail is no span of the doc"
        assert end <= head[0] or head[1] <= start, "a head is its own tail"
        if "tail" in link:
            wanted = [link["tail"]] if isinstance(link["tail"], str) else link["tail"]
            assert other == KEY and label in wanted, "a tail is of another label than the schema asks for"
    for _, start, end, _, name, *_ in entries:
        heads = LINKS[name]["head"]
        heads = [heads] if isinstance(heads, str) else heads
        of_label = any((start, end, one) in places[KEY] for one in heads)
        assert of_label or any((one, start, end) in answered for one in heads), "a head is none of the schema's"
    for (name, *_), tails in tails_of.items():
        assert len(tails) == len(set(tails)) <= LINKS[name].get("max", len(tails)), "a head has too many tails"
    owned = [tail for (name, *_), tails in tails_of.items() if name == "works_for" for tail in tails]
    assert len(owned) == len(set(owned)), "a tail that may have one head has two"
    for group, *place, name, option, score in attrs["attributes"]:
        assert tuple(place) in places[group] and option in ATTRIBUTES[name]["options"] and 0 <= score <= 1, (
            "an attribute's option, place or score is wrong"
        )
    for link, entry in zip(links(doc), entries, strict=True):
        assert link.head.text == text[entry[1] : entry[2]], "a head's text is not the doc's slice"
        assert link.tail.text == text[entry[6] : entry[7]], "a tail's text is not the doc's slice"
    assert isinstance(records(doc), list)
    return Counter(
        docs=1, spans=len(places[KEY]), answers=len(places[ANSWERS]), attributes=len(attrs["attributes"]), **Counter(f"link {entry[4]}" for entry in entries)
    )  # fmt: skip


def check_copy(doc: Doc) -> None:
    """RAISES (AssertionError): the links do not survive bytes."""
    again = Doc(doc.vocab).from_bytes(doc.to_bytes())
    assert noted(again) == noted(doc), "a copy by to_bytes has other links"


def noted(doc: Doc) -> dict[tuple, float]:
    """Links and attributes by all but their scores."""
    attrs = doc.spans[KEY].attrs
    return {tuple(entry[:-1]): entry[-1] for name in ("links", "attributes") for entry in attrs[name]}


def difference(one: dict[tuple, float], other: dict[tuple, float], ask: dict[str, Any]) -> float:
    """The largest change of a score between two answers to the same question.

    What only one has counts as a change unless it scores about what decides whether it is there.
    """
    changes = [abs(one[place] - other[place]) for place in one.keys() & other.keys()]
    for place in one.keys() ^ other.keys():
        score, least = one.get(place, other.get(place)), ask["link_threshold"]
        least = LINKS.get(place[4], {}).get("threshold", least)
        changes.append(0.0 if abs(score - least) < CLOSE else 1.0)
    return max(changes, default=0.0)


def run_links(nlp, cases: list[tuple[str, str, dict]], part: int = 200) -> dict[str, Any]:
    """Ask all cases (kind, text, what is asked) in large batches, some of them once more alone; what came of it."""
    counts: Counter = Counter()
    crashes: list[str] = []
    kinds: Counter = Counter()
    largest, alone, odd = 0.0, 0, []
    for first in range(0, len(cases), part):
        own = cases[first : first + part]
        try:
            docs = list(pipe_with_labels(nlp, [(text, ask) for _, text, ask in own]))
            assert len(docs) == len(own), "texts are lacking"
        except Exception as error:  # the point of the run: whatever it is, it is counted and shown
            crashes.append(f"cases from {first}: {error!r}"[:300])
            continue
        for number, (doc, (kind, text, ask)) in enumerate(zip(docs, own), first):
            try:
                found = check_links(doc, text, ask)
                counts += found
                kinds[kind] += len(doc.spans[KEY].attrs["links"])
                check_copy(doc)
                if alone < ALONE and len(text) <= LONGEST:
                    alone += 1
                    (single,) = pipe_with_labels(nlp, [(text, ask)])
                    change = difference(noted(doc), noted(single), ask)
                    largest = max(largest, change)
                    if change > CLOSE:
                        odd.append({"case": number, "kind": kind, "change": change})
            except Exception as error:
                crashes.append(f"case {number}, {kind}: {error!r}"[:300])
    by_name = {
        name.removeprefix("link "): number for name, number in sorted(counts.items()) if name.startswith("link ")
    }
    return {
        "texts": len(cases), "answered": counts["docs"], "crashes": crashes, "spans": counts["spans"], "free_answers": counts["answers"],
        "links": sum(by_name.values()), "links_by_name": by_name, "links_by_kind": dict(sorted(kinds.items())), "attributes": counts["attributes"],
        "asked_once_more_alone": alone, "largest_change_alone": largest, "changed_alone": odd,
        "characters": sum(len(text) for _, text, _ in cases),
    }  # fmt: skip
