"""From the body of a request to what it asks, within the limits."""

import json
import re
from typing import Any, Mapping, NamedTuple

from ..schema import Ask, LinkSchema, parse_schema, plain_ask, read_schema
from .bodies import Extract
from .limits import Limits, Refusal
from .models import Served

STRETCH = re.compile(r"\S+")


class Wanted(NamedTuple):
    """What a request wants: of which model, asking what, of which texts, and how many wordings and links that is.

    names (list[str]): of all labels that are asked, also of those below others.
    """

    model: str
    ask: dict[str, Any]
    names: list[str]
    texts: list[str]
    wordings: int
    n_links: int


def wanted(
    body: Extract,
    models: Mapping[str, Served],
    schemas: Mapping[str, dict[str, Any]],
    limits: Limits,
    *,
    patterns: bool = False,
) -> Wanted:
    """What a request asks. patterns (bool): whether it may bring regular expressions of its own.

    RAISES (Refusal): it passes a limit, or asks for what is not there or is no schema.
    """
    texts = _texts(body, limits)
    model = _chosen(body.model, models, "model")
    schema, is_own = _schema(body, models[model], schemas, limits)
    changes = {key: getattr(body, key) for key in ("threshold", "link_threshold", "flat")}
    schema |= {key: value for key, value in changes.items() if value is not None}
    try:
        checked = read_schema(schema)
        labels, links = parse_schema(checked)
        if not labels:
            raise ValueError('no labels are asked. Give at least one, such as "labels": ["person"].')
    except (ValueError, TypeError, RecursionError) as error:
        raise Refusal(422, "malformed", _line(error)) from None
    keeps = {key: checked.get(key) for key in ("threshold", "flat", "link_threshold")}
    ask = Ask(labels, links=None if links == LinkSchema() else links, adapter=body.adapter, **keeps)
    if is_own and not patterns and any(label.pattern is not None or label.keep is not None for label in ask.labels):
        raise Refusal(
            422, "patterns", "Labels bring 'pattern' or 'keep', which this server takes from its own schemas alone: a "
            "regular expression may run for ever. Name a schema, or start the server with --patterns.",
        )  # fmt: skip
    wordings, n_links = _size(ask)
    if wordings > limits.labels:
        raise Refusal(
            422, "too_many_labels",
            f"{wordings} wordings of labels, links and options are asked, and {limits.labels} is the limit. Ask in "
            "several requests, or raise --most-labels.",
        )  # fmt: skip
    return Wanted(model, plain_ask(ask), [label.name for label in labels], texts, wordings, n_links)


def _texts(body: Extract, limits: Limits) -> list[str]:
    if (body.text is None) == (body.texts is None):
        raise Refusal(422, "malformed", 'Give either "text", a string, or "texts", a list of strings.')
    texts = [body.text] if body.texts is None else body.texts
    if len(texts) > limits.texts:
        raise Refusal(
            413, "too_many_texts",
            f"texts: {len(texts)} texts, and {limits.texts} is the limit. Send them in several requests, or raise "
            "--most-texts.",
        )  # fmt: skip
    total = sum(map(len, texts))
    if total > limits.characters:
        raise Refusal(
            413, "too_many_characters",
            f"The texts have {total} characters, and {limits.characters} is the limit. Send them in parts, or raise "
            "--most-characters.",
        )  # fmt: skip
    for number, text in enumerate(texts):
        place = "text" if body.texts is None else f"texts[{number}]"
        # Each stretch once: a pattern of so many characters is tried again from each of them, which takes seconds.
        for start, end in map(re.Match.span, STRETCH.finditer(text)):
            if end - start > limits.run:
                raise Refusal(
                    422, "run_too_long",
                    f"{place}: more than {limits.run} characters without white space, from character {start} on, are "
                    "no words. Leave them out, or raise --longest-run.",
                )  # fmt: skip
        if not _is_unicode(text):
            raise Refusal(422, "malformed", f"{place} holds half of a surrogate pair, which is no character.")
    return texts


def _schema(
    body: Extract, served: Served, schemas: Mapping[str, dict[str, Any]], limits: Limits
) -> tuple[dict[str, Any], bool]:
    """What is asked, and whether the request brings it itself."""
    if body.labels is not None and body.schema_ is not None:
        raise Refusal(422, "malformed", 'Give either "labels" or "schema", not both.')
    adapter = None if body.adapter is None else _chosen(body.adapter, served.pipe.adapters, "adapter")
    if isinstance(body.schema_, str):
        return dict(schemas[_chosen(body.schema_, schemas, "schema")]), False
    given = body.schema_ if body.labels is None else {"labels": body.labels}
    if given is not None:
        size = len(json.dumps(given))
        if size > limits.schema:
            raise Refusal(
                413, "schema_too_large",
                f"What is asked has {size} characters as JSON, and {limits.schema} is the limit. Ask for less at once.",
            )  # fmt: skip
        return dict(given) if isinstance(given, Mapping) else given, True
    own = served.own_schema if adapter is None else served.pipe.adapters[adapter]
    if own is None:
        raise Refusal(422, "malformed", 'Give "labels" or a "schema": this model has no labels of its own.')
    return {key: value for key, value in own.items() if key != "adapter"}, False


def _chosen(name: str | None, known: Mapping[str, Any], what: str) -> str:
    """The name, or the first one if none is given. RAISES (Refusal): it is not known."""
    if name is None:
        return next(iter(known))
    if name not in known:
        there = f"There are: {', '.join(known)}." if known else f"This server has none: start it with --{what}."
        raise Refusal(422, f"unknown_{what}", f"{what}: there is none named {name!r}. {there}")
    return name


def _size(ask: Ask) -> tuple[int, int]:
    """Wordings, and links and attributes, that are asked."""
    count = sum(len(label.queries) for label in ask.labels)
    if ask.links is None:
        return count, 0
    relations, attributes = ask.links.relations, ask.links.attributes
    count += sum(len(one.queries) + len(one.inverse) for one in relations)
    count += sum(max(1, len(queries)) for one in attributes for _, queries in one.options)
    return count, len(relations) + len(attributes)


def _is_unicode(text: str) -> bool:
    try:
        text.encode("utf8")
    except UnicodeEncodeError:
        return False
    return True


def _line(error: Exception) -> str:
    """A message on one line, of which a hostile value does not make a long one."""
    message = " ".join(str(error).split()) or type(error).__name__
    return message if len(message) <= 500 else f"{message[:500]} …"
