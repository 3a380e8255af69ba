"""How links, attributes and labels name each other: names that mean nothing, or two things, and circles."""

from collections import deque
from difflib import get_close_matches
from typing import Any, Collection, Iterable, Mapping, Sequence

SHOWN = 8  # names that a message shows


def check_names(
    relations: Sequence[tuple[str, Any]], attributes: Sequence[tuple[str, Any]], labels: set[str] | None
) -> None:
    """RAISES (ValueError): a name means two things, or nothing.

    relations, attributes (Sequence): each with its place. labels (set[str] | None): None: names are taken for labels.
    """
    links, own = {relation.name for _, relation in relations}, labels or set()
    for kind, place, one in [*(("link", *r) for r in relations), *(("attribute", *a) for a in attributes)]:
        taken = "a label" if one.name in own else "a link" if kind == "attribute" and one.name in links else None
        if taken:
            raise ValueError(f"{place}: '{one.name}' is the name of {taken} too. Give one of them another name.")
    for place, relation in relations:
        for head in relation.heads:
            if labels is not None and head not in own and head not in links:
                raise ValueError(f"{place}['head'] names '{head}', {unknown(head, own, links)}")
        for tail in relation.tails:
            if tail in links:
                raise ValueError(
                    f"{place}['tail'] names the link '{tail}'. A tail is a label; leave it out for any words."
                )
            if labels is not None and tail not in own:
                raise ValueError(f"{place}['tail'] names '{tail}', {unknown(tail, own, ())}")
    for place, attribute in attributes:
        for head in attribute.heads:
            if head in links or (labels is not None and head not in own):
                raise ValueError(f"{place}['head'] names '{head}', {unknown(head, own, ())}")


def unknown(name: str, labels: Collection[str], links: Collection[str]) -> str:
    """The end of a message about a name that is not among these."""
    kinds = "neither a label nor a link" if links else "no label"
    known = [*labels, *links]
    near = get_close_matches(name, known, 1)
    hint = f" Did you mean '{near[0]}'?" if near else f" Known are {shown(known)}." if known else ""
    return f"which is {kinds} of this schema.{hint} Add it to the labels, or correct the name."


def shown(names: Iterable[str]) -> str:
    ordered = sorted(names)
    return ", ".join(ordered[:SHOWN]) + (f" and {len(ordered) - SHOWN} more" if len(ordered) > SHOWN else "")


def check_circles(relations: Sequence[Any]) -> None:
    """RAISES (ValueError): a link starts, by way of others, at its own answers."""
    names = {relation.name for relation in relations}
    after: dict[str, set[str]] = {name: set() for name in names}  # the links that each starts at
    before: dict[str, set[str]] = {name: set() for name in names}
    for relation in relations:
        for head in names.intersection(relation.heads):
            after[relation.name].add(head)
            before[head].add(relation.name)
    open_ = {name: len(heads) for name, heads in after.items()}
    ready = deque(name for name, count in open_.items() if not count)
    while ready:
        done = ready.popleft()
        del open_[done]
        for name in before[done]:
            open_[name] -= 1
            if not open_[name]:
                ready.append(name)
    if not open_:
        return
    path = [min(open_)]
    while len(set(path)) == len(path):
        path.append(min(after[path[-1]] & open_.keys()))
    circle = path[path.index(path[-1]) :][::-1]
    raise ValueError(
        f"the links go in a circle: {' -> '.join(map(repr, circle))}. Begin one of them at a label, by its 'head'."
    )


def all_fields(anchor: str, starts: Mapping[str, set[str]]) -> tuple[str, ...]:
    """The links and attributes that start at a label, or at one of those."""
    found: dict[str, None] = {}
    waiting = deque([anchor])
    by_head: dict[str, list[str]] = {}
    for name, heads in starts.items():
        for head in heads:
            by_head.setdefault(head, []).append(name)
    while waiting:
        for name in by_head.get(waiting.popleft(), ()):
            if name not in found:
                found[name] = None
                waiting.append(name)
    return tuple(found)
