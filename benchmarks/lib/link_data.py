"""Texts of the benchmarks with links, and the schemas that are asked of them."""

import json
import random
from pathlib import Path
from typing import Any, Collection, NamedTuple

import yaml

from metaie_spacy.data.known_links import KnownLinks, Link
from metaie_spacy.data.rows import Place, read_rows
from metaie_spacy.measure.links import events_of

SCHEMAS = Path(__file__).resolve().parents[1] / "quality" / "links.yml"


class Relation(NamedTuple):
    """One relation of a schema: heads and tails are names of labels; without tails any span is an answer."""

    name: str
    heads: tuple[str, ...]
    queries: tuple[str, ...]
    inverse: tuple[str, ...]
    tails: tuple[str, ...]


class Schema(NamedTuple):
    """A schema of links.yml. plain (dict): in the component's own form.

    labels (dict): name -> wordings. signs (dict): options of the attribute "sentiment" -> wordings.
    signed (tuple): names of the labels that have it.
    """

    labels: dict[str, tuple[str, ...]]
    relations: tuple[Relation, ...]
    signs: dict[str, tuple[str, ...]]
    plain: dict[str, Any]
    signed: tuple[str, ...] = ()


class Text(NamedTuple):
    """One text with its gold spans, links (label, head and tail) and, of opinions, the sentiment of each pair."""

    id: str
    text: str
    spans: frozenset[Place]
    links: frozenset[Link]
    triplets: frozenset[Link]


def read_schema(dataset: str, path: Path = SCHEMAS, *, about: bool = False) -> Schema:
    """The schema of a dataset. about (bool): relations are asked in the wordings under "about" too: of weights that bind.

    RAISES (ValueError): the file has no such dataset.
    """
    schemas = yaml.safe_load(path.read_text(encoding="utf8"))
    if dataset not in schemas:
        raise ValueError(f"{path.name} has no dataset '{dataset}', only {', '.join(schemas)}.")
    plain = schemas[dataset]
    links = {}
    for name, link in plain["links"].items():
        links[name] = {key: value for key, value in link.items() if key != "about"}
        if about and "about" in link:
            links[name]["query"] = [*as_tuple(link["query"]), *as_tuple(link["about"])]
    plain = {**plain, "links": links}
    if "attributes" in plain:
        own = {key: value for key, value in plain["attributes"]["sentiment"].items() if key != "about"}
        if about:
            own["options"] = {**own["options"], **plain["attributes"]["sentiment"].get("about", {})}
        plain["attributes"] = {"sentiment": own}
    relations = [
        Relation(name, *(as_tuple(link.get(key, ())) for key in ("head", "query", "inverse", "tail")))
        for name, link in plain["links"].items()
    ]
    sentiment = plain.get("attributes", {}).get("sentiment", {"head": (), "options": {}})
    labels = {name: as_tuple(wordings) for name, wordings in plain["labels"].items()}
    signs = {name: as_tuple(wordings or ()) for name, wordings in sentiment["options"].items()}
    return Schema(labels, tuple(relations), signs, plain, as_tuple(sentiment["head"]))


def as_tuple(value: str | Collection[str]) -> tuple[str, ...]:
    return (value,) if isinstance(value, str) else tuple(value)


def read_texts(folder: Path, split: str, number: int) -> list[Text]:
    """The first texts of a split, in the order of seed 0. number (int): how many; 0: all, in the file's order."""
    rows = [json.loads(line) for line in (folder / f"{split}.jsonl").read_text(encoding="utf8").splitlines()]
    if number:
        random.Random(0).shuffle(rows)
        rows = rows[:number]
    return [text_of(row) for row in rows]


def text_of(row: dict) -> Text:
    spans = [(span["start"], span["end"], span["label"]) for span in row["spans"]]
    links = [(spans[r["head"]][:2], spans[r["tail"]][:2], r["label"]) for r in row.get("relations", [])]
    signed = [(spans[t["aspect"]][:2], spans[t["opinion"]][:2], t["sentiment"]) for t in row.get("triplets", [])]
    links += [(aspect, opinion, "opinion") for aspect, opinion, _ in signed]
    return Text(row["id"], row["text"], frozenset(spans), frozenset(links), frozenset(signed))


def gold_heads(text: Text, relation: Relation) -> list[Place]:
    return sorted(span for span in text.spans if span[2] in relation.heads)


def known(text: Text, schema: Schema) -> KnownLinks:
    """The gold links of a text; each relation was asked of all heads of its types."""
    asked = {(head[:2], relation.name) for relation in schema.relations for head in gold_heads(text, relation)}
    return KnownLinks({link for link in text.links if (link[0], link[2]) in asked}, asked)


def gold_of(text: Text, *, is_event: bool) -> set[Link]:
    """All gold links, also those that the schema does not ask. is_event (bool): heads carry their type."""
    return events_of(text.links, text.spans) if is_event else set(text.links)


def read_row_texts(path: Path, number: int) -> tuple[list[Text], list[Schema]]:
    """Annotation rows with links as texts, each with a schema of its own: the relations that it asks, of those heads.

    number (int): how many rows, in the order of seed 0; 0: all.
    """
    rows = [row for row in read_rows(path) if row.get("links")]
    if number:
        random.Random(0).shuffle(rows)
        rows = rows[:number]
    return [_row_text(row) for row in rows], [_row_schema(row) for row in rows]


def _row_text(row: dict) -> Text:
    """The heads of each relation have its name for a label, so that it is asked of those alone."""
    spans = {(link["head"][0], link["head"][1], f"head of {link['label']}") for link in row["links"]}
    links = {(tuple(link["head"]), tuple(tail), link["label"]) for link in row["links"] for tail in link["tails"]}
    return Text(row["id"], row["text"], frozenset(spans), frozenset(links), frozenset())


def _row_schema(row: dict) -> Schema:
    names = list(dict.fromkeys(link["label"] for link in row["links"]))
    heads = [f"head of {name}" for name in names]
    plain = {
        "labels": dict(zip(heads, heads)),
        "links": {name: {"head": head, "query": name} for name, head in zip(names, heads)},
    }
    relations = tuple(Relation(name, (head,), (name,), (), ()) for name, head in zip(names, heads))
    return Schema({head: (head,) for head in heads}, relations, {}, plain)
