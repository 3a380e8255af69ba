"""Relations of other tools as the links of a row, and back."""

from typing import Any, Iterable

from .records import Tally

At = tuple[int, int]  # start, end (exclusive)
Pair = tuple[At, str, At]  # head, label, tail


def linked(pairs: Iterable[Pair], asked: Iterable[tuple[At, str]] = ()) -> list[dict]:
    """Links of a row: all tails of one head and label in one link.

    asked (Iterable[tuple[At, str]]): heads and labels that were asked, whether they have tails or not.
    """
    tails: dict[tuple[At, str], list[At]] = {key: [] for key in asked}
    for head, label, tail in pairs:
        own = tails.setdefault((head, label), [])
        if tail not in own:
            own.append(tail)
    return [
        {"head": list(head), "label": label, "tails": [list(tail) for tail in own]}
        for (head, label), own in tails.items()
    ]


def pairs_of(row: dict) -> list[Pair]:
    """Head, label and tail of every answer of a row's links."""
    return [((*link["head"],), link["label"], (*tail,)) for link in row.get("links", []) for tail in link["tails"]]


def with_links(row: dict, pairs: list[Pair], kept: dict | None = None) -> dict:
    """The row with the relations that a file has.

    kept (dict | None): what `keep` made of the row that was reviewed: its heads and labels stay asked.
    """
    links = (kept or {}).get("links")
    asked = [((*link["head"],), link["label"]) for link in links if _is_link(link)] if isinstance(links, list) else []
    links = linked(pairs, asked)
    row = {name: value for name, value in row.items() if name != "links"}
    return row | ({"links": links} if links else {})


def _is_link(value: Any) -> bool:
    if not isinstance(value, dict) or not isinstance(value.get("head"), list):
        return False
    return isinstance(value.get("label"), str) and all(isinstance(end, int) for end in value["head"])


def ids_at(row: dict, ids: list) -> dict[At, Any]:
    """The first span's id by place, since tools link spans and rows link places."""
    found: dict[At, Any] = {}
    for span, id in zip(row["spans"], ids):
        found.setdefault((span["start"], span["end"]), id)
    return found


def linked_ids(row: dict, ids: list, tally: Tally) -> list[tuple[Any, str, Any]]:
    """Links as id of the head, label and id of the tail; those between places that are no spans are counted."""
    at = ids_at(row, ids)
    pairs = pairs_of(row)
    found = [(at[head], label, at[tail]) for head, label, tail in pairs if head in at and tail in at]
    tally.lose_links("link without span", len(pairs) - len(found))
    return found
