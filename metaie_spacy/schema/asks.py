"""What is asked for one call or of one text."""

from typing import Any, Mapping, NamedTuple

from .labels import CHILDREN, LABEL_KEYS, Label, check_switch, check_threshold, plain
from .links import LINK_KEYS, LinkSchema, asks_links, parse_schema, plain_links
from .short_forms import SHORT_FORMS

ASK_KEYS = ("labels", "threshold", "flat", "link_threshold", "adapter", *LINK_KEYS, *SHORT_FORMS)
LABEL_FORM = (*LABEL_KEYS, "attributes")  # of a label in a schema


class Ask(NamedTuple):
    """What is asked of one text: labels, links between their spans, and how answers are kept.

    None: as the component says; labels that come without links have none. link_threshold (float | None): the least
    probability of a link that has no threshold of its own. adapter (str | None): what the text is read with, see
    `MetaIE.adapters`.
    """

    labels: tuple[Label, ...]
    threshold: float | None = None
    flat: bool | None = None
    links: LinkSchema | None = None
    link_threshold: float | None = None
    adapter: str | None = None


def parse_ask(value: Any) -> Ask:
    """What is asked of a text: labels as `parse_labels` takes them, or a mapping as a schema, without "set_ents".

    RAISES (ValueError): it is neither.
    """
    if not _is_ask(value):
        value = {"labels": value}
    labels, links = parse_schema(value)
    threshold, flat, least, adapter = (value.get(key) for key in ("threshold", "flat", "link_threshold", "adapter"))
    if adapter is not None and not isinstance(adapter, str):
        raise ValueError(f'"adapter" must be the name of one, not {adapter!r}.')
    return Ask(
        labels,
        None if threshold is None else check_threshold(threshold),
        None if flat is None else check_switch(flat, "flat"),
        links if links != LinkSchema() or asks_links(value) else None,
        None if least is None else check_threshold(least, "link_threshold"),
        adapter,
    )


def plain_ask(ask: Ask) -> dict[str, Any]:
    """In the form that JSON keeps, and that `parse_ask` takes."""
    labels = plain(ask.labels)
    if ask == Ask(ask.labels) and not _is_ask(labels):
        return labels
    if labels and set(labels) <= {*LABEL_FORM, CHILDREN}:  # a mapping of these names alone would be read as one label
        given = {name: value if isinstance(value, Mapping) else {"query": value} for name, value in labels.items()}
        labels = [{"name": name, **value} for name, value in given.items()]
    links = {} if ask.links is None else {"links": {}} | plain_links(ask.links)
    least = {} if ask.link_threshold is None else {"link_threshold": ask.link_threshold}
    adapter = {} if ask.adapter is None else {"adapter": ask.adapter}
    return {"labels": labels, "threshold": ask.threshold, "flat": ask.flat, **links, **least, **adapter}


def ask_names(value: Any) -> list[str] | None:
    """The names of the labels that a text brings; None: it brings none."""
    return None if value is None else [label.name for label in parse_ask(value).labels]


def _is_ask(value: Any) -> bool:
    """Whether this is a mapping of settings, and not one of labels of which one is called "labels"."""
    if not isinstance(value, Mapping) or "labels" not in value or not set(value) <= set(ASK_KEYS):
        return False
    own = value["labels"]
    return isinstance(own, (list, tuple)) or (isinstance(own, Mapping) and not _is_label(own))


def _is_label(value: Mapping[str, Any]) -> bool:
    """Whether this is what stands beside one label, and not a mapping of labels, one of which may be "children"."""
    keys = set(value)
    return bool(keys - {CHILDREN}) and keys <= {*LABEL_FORM, CHILDREN}
