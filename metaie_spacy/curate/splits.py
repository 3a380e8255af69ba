"""Train, dev and test by document."""

import hashlib
from collections import Counter
from functools import partial
from typing import Sequence

from ..data.documents import document_of
from ..data.ledger import Sourced
from .duplicates import NearTexts

SPLITS = ("train", "dev", "test")


def split_rows(
    items: Sequence[Sourced], dev_share: float, test_share: float, *, linked: float = 0.6, seed: int = 0
) -> tuple[dict[str, list[Sourced]], list[int]]:
    """Split so that no document, and no two documents with passages much alike, stand on two sides.

    A document's side follows from its name and the seed alone. Linked documents all go to train if
    one of them belongs there, else to dev if one does: so when rows are added, what was trained on
    once never turns up in dev or test, and what models were chosen by never in test.

    linked (float): Jaccard similarity of word 5-grams that links two rows' documents; 0: none are.
    RETURNS (tuple): split -> rows in their order, and the numbers of documents in each linked group.
    """
    names = list(dict.fromkeys(document_of(item.row) for item in items))
    root = link_documents(items, linked) if linked else {name: name for name in names}
    side: dict[str, int] = {}
    for name in names:
        own = side_of(name, dev_share, test_share, seed)
        side[root[name]] = min(own, side.get(root[name], own))
    splits: dict[str, list[Sourced]] = {name: [] for name in SPLITS}
    for item in items:
        splits[SPLITS[side[root[document_of(item.row)]]]].append(item)
    sizes = Counter(root[name] for name in names)
    return splits, sorted((n for n in sizes.values() if n > 1), reverse=True)


def side_of(document: str, dev_share: float, test_share: float, seed: int) -> int:
    """0: train, 1: dev, 2: test.

    The hash is not that of `items.split_dev`: training holds its own dev texts out of the train
    side, where with the same hash it would find none.
    """
    digest = hashlib.sha256(f"curate:{seed}:{document}".encode()).digest()
    place = int.from_bytes(digest[:8], "big") / 2**64
    return 1 if place < dev_share else 2 if place < dev_share + test_share else 0


def link_documents(items: Sequence[Sourced], threshold: float) -> dict[str, str]:
    """Document -> one that stands for all documents that it is linked with, directly or through others."""
    parent: dict[str, str] = {}

    def find(name: str) -> str:
        while parent.setdefault(name, name) != name:
            parent[name] = name = parent[parent[name]]
        return name

    def are_linked(name: str, i: int) -> bool:
        return find(name) == find(document_of(items[i].row))

    index = NearTexts(threshold)
    for item in items:
        text, name = item.row["text"], document_of(item.row)
        sketch = index.sketch(text)
        for i in index.near(text, sketch, unless=partial(are_linked, name)):
            parent[find(name)] = find(document_of(items[i].row))
        index.add(text, sketch)
    return {document_of(item.row): find(document_of(item.row)) for item in items}
