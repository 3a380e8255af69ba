"""Long texts in parts that end where a window would, and the answers of parts as those of their text."""

import re
from typing import Any, Iterable, Iterator, NamedTuple, Sequence

BORDERS = (  # what a part ends with, the best first
    re.compile(r"\n[^\S\n]*\n\s*"),
    re.compile(r"\n\s*"),
    re.compile(r"[.!?…][\"'”’)\]»]*\s+|[。！？]\s*"),
    re.compile(r"\s+"),
)


class Found(NamedTuple):
    """What was found in one part: "spans", "links" and "records" as they are sent; links None: none were asked.

    asked (Sequence[str] | None): names of the labels that were asked; None: the pipeline does not say.
    """

    spans: list[dict[str, Any]]
    links: list[dict[str, Any]] | None
    records: list[dict[str, Any]]
    asked: Sequence[str] | None


def cut(text: str, size: int) -> list[tuple[int, str]]:
    """A text in parts of up to `size` characters, each with the place where it begins.

    A part ends at a blank line if there is one in its second half, else at a line, a sentence or white space, and
    only without any of these in the midst of a word.
    """
    parts, start = [], 0
    while len(text) - start > size:
        end = start + size
        for border in BORDERS:
            ends = [match.end() for match in border.finditer(text, start + size // 2, end)]
            if ends:
                end = ends[-1]
                break
        parts.append((start, text[start:end]))
        start = end
    return [*parts, (start, text[start:])]


def joined(parts: Iterable[tuple[int, Found]], names: Sequence[str]) -> dict[str, Any]:
    """What was found in the parts of one text, with places in the text. Links name spans by their number.

    names (Sequence[str]): of all labels of the request; if some were asked of no part, "asked" has the others.
    """
    spans: list[dict[str, Any]] = []
    links: list[dict[str, Any]] | None = None
    records: list[dict[str, Any]] = []
    asked: set[str] = set()
    for start, found in parts:
        if found.links is not None:
            before, links = len(spans), links or []
            links += [{**link, "head": link["head"] + before, "tail": link["tail"] + before} for link in found.links]
        spans += [_moved(span, start) for span in found.spans]
        records += [_moved(record, start) for record in found.records]
        asked.update(names if found.asked is None else found.asked)
    more: dict[str, Any] = {} if links is None else {"links": links, "records": records}
    if not asked.issuperset(names):
        more["asked"] = [name for name in names if name in asked]
    return {"spans": spans} | more


def _moved(span: dict[str, Any], by: int) -> dict[str, Any]:
    """A span or record with its places, and those of the spans in its fields, further on."""
    if not by:
        return span
    moved = {**span, "start": span["start"] + by, "end": span["end"] + by}
    if "fields" in span:
        moved["fields"] = dict(_moved_fields(span["fields"], by))
    return moved


def _moved_fields(fields: dict[str, Any], by: int) -> Iterator[tuple[str, Any]]:
    for name, value in fields.items():
        yield name, [_moved(tail, by) for tail in value] if isinstance(value, list) else value
