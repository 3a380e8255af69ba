"""Labels that name a span of their text ("employer of Ada Lovelace"), as questions about that span."""

import re

from .rows import Link, Row, asked_of, places

# The named span begins with a capital; a relation has no more words than this.
OF = re.compile(r"(?P<relation>\S+(?: \S+){0,4}) of (?:the )?(?P<head>[A-Z].*)")
POSSESSIVE = re.compile(r"(?P<head>[A-Z].*)(?:'s|’s) (?P<relation>\S+(?: \S+){0,4})")


def anchored_links(row: Row) -> list[Link]:
    """The questions that a row's labels ask about spans of its text.

    A label "R of X" or "X's R" counts where X begins with a capital and stands in the text exactly once, as whole
    words: then it is a span, and the label's spans (none, if it is absent) are the tails of its relation R.

    RETURNS (list[Link]): in the order of the labels.
    """
    found: dict[tuple[int, int, str], Link] = {}
    for label in asked_of(row):
        match = OF.fullmatch(label) or POSSESSIVE.fullmatch(label)
        head = None if match is None else _only_place(row["text"], match["head"])
        if match is None or head is None:
            continue
        tails = [[start, end] for start, end, _ in places(row, [label]) if end <= head[0] or start >= head[1]]
        key = (*head, match["relation"].lower())
        link = found.setdefault(key, {"head": list(head), "label": key[2], "tails": []})
        link["tails"] += [tail for tail in tails if tail not in link["tails"]]
    return list(found.values())


def _only_place(text: str, name: str) -> tuple[int, int] | None:
    """Where a name stands in a text; None: nowhere, more than once, or within a word."""
    start = text.find(name)
    if start < 0 or text.find(name, start + 1) >= 0:
        return None
    end = start + len(name)
    if text[start - 1 : start].isalnum() or text[end : end + 1].isalnum():
        return None
    return start, end
