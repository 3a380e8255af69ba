"""What is asked of the spans that were found: links, attributes and records; parsing and validation."""

from difflib import get_close_matches
from typing import Any, Iterable, Mapping, NamedTuple, Sequence

from .connections import all_fields, check_circles, check_names, shown, unknown
from .labels import (
    CHILDREN,
    MOST_LEVELS,
    Label,
    check_queries,
    check_switch,
    check_text,
    check_threshold,
    parse_labels,
)
from .short_forms import SHORT_FORMS, Entry, Expanded, entries, expand, wording

LINK_KEYS = ("links", "attributes", "records")
RELATION_KEYS = ("head", "query", "inverse", "tail", "threshold", "max", "one_head", "description")


class Relation(NamedTuple):
    """What is asked of each span of its heads.

    name (str): the label of its links. heads (tuple[str, ...]): labels, or other links, whose answers are asked then.
    queries (tuple[str, ...]): wordings of the question, such as "employer". inverse (tuple[str, ...]): of the question
    asked back of the answer, such as "employee". tails (tuple[str, ...]): labels whose spans may be the answer; none:
    any words may. threshold (float | None): the least probability of a link. max (int | None): most answers of one
    head. one_head (bool): an answer goes to its best head alone. description (str | None): a note for people.
    """

    name: str
    heads: tuple[str, ...]
    queries: tuple[str, ...]
    inverse: tuple[str, ...] = ()
    tails: tuple[str, ...] = ()
    threshold: float | None = None
    max: int | None = None
    one_head: bool = False
    description: str | None = None


class Attribute(NamedTuple):
    """One of several options for each span of a label, such as its sentiment.

    heads (tuple[str, ...]): labels. options (tuple): the name of each with its wordings; one without any holds where
    none of the others is said.
    """

    name: str
    heads: tuple[str, ...]
    options: tuple[tuple[str, tuple[str, ...]], ...]


class Record(NamedTuple):
    """A group of facts around each span of a label. fields (tuple[str, ...]): names of links and attributes."""

    name: str
    anchor: str
    fields: tuple[str, ...]


class LinkSchema(NamedTuple):
    """All that is asked beside labels. Relations of one name, and attributes, stand together and have other heads."""

    relations: tuple[Relation, ...] = ()
    attributes: tuple[Attribute, ...] = ()
    records: tuple[Record, ...] = ()


def parse_links(value: Mapping[str, Any], labels: Iterable[str | Label] | None = None) -> LinkSchema:
    """Read links as users write them.

    value (Mapping): "links", "attributes", "records", and the short forms "relations", "events", "roles" and
        "aspects", all optional, as they stand in a schema beside its "labels".
    labels (Iterable | None): the labels that are asked; None: names are not compared with them.
    RAISES (ValueError): an entry is malformed, a head or tail is not known, links go in a circle, or a name is used
        twice; the message names the place. A short form would add a label: `parse_schema` takes those.
    """
    expanded = _expanded(value)
    if labels is None:
        return _link_schema(value, expanded, None)
    known = {label.name if isinstance(label, Label) else label for label in labels}
    for place, label, _ in expanded.labels:
        if label.name not in known:
            raise ValueError(f"{place} needs the label '{label.name}', which is not asked. Add it to the labels.")
    return _link_schema(value, expanded, known)


def parse_schema(schema: Mapping[str, Any]) -> tuple[tuple[Label, ...], LinkSchema]:
    """The labels and links of a mapping with "labels" and what `parse_links` takes; its other keys are left alone.

    Labels may bring "attributes"; short forms may add labels, which come last.
    RAISES (ValueError): as `parse_labels` and `parse_links`.
    """
    given = {key: schema[key] for key in (*LINK_KEYS, *SHORT_FORMS) if key in schema}
    own, attributes = _without_attributes(schema.get("labels", ()))
    labels = {label.name: label for label in parse_labels(own)}
    expanded = _expanded(given)
    for place, label, stated in expanded.labels:
        if labels.setdefault(label.name, label) != label and stated:
            raise ValueError(
                f"{place} asks the label '{label.name}' in another way than it is asked already. Say it in one place."
            )
    expanded.attributes[:0] = attributes
    return tuple(labels.values()), _link_schema(given, expanded, set(labels))


def asks_links(schema: Mapping[str, Any]) -> bool:
    """Whether a mapping has a key of `parse_links`, be it empty."""
    return any(key in schema for key in (*LINK_KEYS, *SHORT_FORMS))


def plain_links(schema: LinkSchema) -> dict[str, Any]:
    """In the form that JSON keeps, and that `parse_links` takes."""
    links, attributes = _grouped(schema.relations), _grouped(schema.attributes)
    found: dict[str, Any] = {
        "links": {name: _one_or_all([_plain_relation(r) for r in group]) for name, group in links.items()},
        "attributes": {name: _one_or_all([_plain_attribute(a) for a in group]) for name, group in attributes.items()},
        "records": {r.name: {"anchor": r.anchor, "fields": list(r.fields)} for r in schema.records},
    }
    return {key: value for key, value in found.items() if value}


def _plain_relation(relation: Relation) -> dict[str, Any]:
    wordings = {"head": relation.heads, "query": relation.queries, "inverse": relation.inverse, "tail": relation.tails}
    found: dict[str, Any] = {key: _one_or_all(list(value)) for key, value in wordings.items() if value}
    found |= {key: getattr(relation, key) for key in ("threshold", "max") if getattr(relation, key) is not None}
    if relation.one_head:
        found["one_head"] = True
    return found if relation.description is None else found | {"description": relation.description}


def _plain_attribute(attribute: Attribute) -> dict[str, Any]:
    options = {name: _one_or_all(list(wordings)) if wordings else None for name, wordings in attribute.options}
    return {"head": _one_or_all(list(attribute.heads)), "options": options}


def _one_or_all(values: list) -> Any:
    return values[0] if len(values) == 1 else values


def _grouped(named: Iterable[Any]) -> dict[str, list]:
    groups: dict[str, list] = {}
    for one in named:
        groups.setdefault(one.name, []).append(one)
    return groups


def _expanded(value: Any) -> Expanded:
    if not isinstance(value, Mapping):
        raise ValueError(f'links must be an object such as {{"links": {{...}}}}, not {type(value).__name__}.')
    if other := set(value) - {*LINK_KEYS, *SHORT_FORMS}:
        known = ", ".join((*LINK_KEYS, *SHORT_FORMS))
        raise ValueError(f"the links have the unknown keys {sorted(map(str, other))}; known are {known}.")
    return expand(value)


def _without_attributes(labels: Any) -> tuple[Any, list[Entry]]:
    """The labels without the attributes that some of them bring, also those below others, and the attributes."""
    found: list[Entry] = []

    def rest(place: str, name: Any, label: Any, level: int) -> Any:
        if not isinstance(label, Mapping):
            return label
        if "attributes" in label:
            where = f"{place}['attributes']"
            for inner, attribute, options in entries(label["attributes"], where):
                found.append(Entry(inner, attribute, {"head": name, "options": options}))
            label = {key: value for key, value in label.items() if key != "attributes"}
        if CHILDREN in label and level < MOST_LEVELS:
            label = {**label, CHILDREN: stripped(label[CHILDREN], f"{place}[{CHILDREN!r}]", level + 1)}
        return label

    def stripped(labels: Any, place: str, level: int) -> Any:
        if isinstance(labels, Mapping):
            return {name: rest(f"{place}[{name!r}]", name, label, level) for name, label in labels.items()}
        if isinstance(labels, (list, tuple)):
            return [
                rest(f"{place}[{i}]", label.get("name"), label, level) if isinstance(label, Mapping) else label
                for i, label in enumerate(labels)
            ]
        return labels

    return stripped(labels, "labels", 1), found


def _link_schema(value: Mapping[str, Any], expanded: Expanded, labels: set[str] | None) -> LinkSchema:
    relations = [_relation(*entry) for entry in (*_each(value.get("links"), "links"), *expanded.relations)]
    attributes = [_attribute(*entry) for entry in (*_each(value.get("attributes"), "attributes"), *expanded.attributes)]
    united, united_attributes = _united(relations, "link"), _united(attributes, "attribute")
    check_names(relations, attributes, labels)
    check_circles(united)
    records = [
        _record(*entry, united, united_attributes, labels) for entry in entries(value.get("records", {}), "records")
    ]
    own = {record.name for record in records}
    records += [
        _record(*entry, united, united_attributes, labels) for entry in expanded.records if entry.name not in own
    ]
    return LinkSchema(tuple(united), tuple(united_attributes), tuple(records))


def _each(value: Any, place: str) -> Iterable[Entry]:
    """An entry for each object; a name may have a list of them, one for each group of heads."""
    for where, name, entry in entries({} if value is None else value, place):
        if isinstance(entry, list):
            yield from (Entry(f"{where}[{i}]", name, one) for i, one in enumerate(entry))
        else:
            yield Entry(where, name, entry)


def _object(place: str, value: Any, keys: Sequence[str], needed: Sequence[str], example: str) -> Mapping[str, Any]:
    """RAISES (ValueError): it is no object of these keys."""
    if not isinstance(value, Mapping):
        raise ValueError(f"{place} must be an object such as {example}, not {type(value).__name__} ({value!r}).")
    other = set(value) - set(keys)
    if other:
        raise ValueError(f"{place} has the unknown keys {sorted(map(str, other))}; known are {', '.join(keys)}.")
    for key in needed:
        if key not in value:
            raise ValueError(f'{place} has no "{key}". Write it such as {example}.')
    return value


def _names(value: Any, place: str) -> tuple[str, ...]:
    """One name, or several."""
    return tuple(dict.fromkeys(check_queries(value, place)))


def _relation(place: str, name: str, value: Any) -> tuple[str, Relation]:
    example = '{"head": "PERSON", "query": "employer", "tail": "ORG"}'
    value = _object(place, value, RELATION_KEYS, ("head",), example)
    queries = _names(value.get("query", wording(name)), f"{place}['query']")
    inverse, tails = (
        () if value.get(key) is None else _names(value[key], f"{place}['{key}']") for key in ("inverse", "tail")
    )
    threshold, most, description = (value.get(key) for key in ("threshold", "max", "description"))
    if threshold is not None:
        threshold = check_threshold(threshold, f"{place}['threshold']")
    if most is not None and (type(most) is not int or most < 1):
        raise ValueError(f"{place}['max'] must be a whole number from 1 on, or null for any number, not {most!r}.")
    one_head = check_switch(value.get("one_head", False), f"{place}['one_head']")
    if description is not None and not isinstance(description, str):
        raise ValueError(f"{place}['description'] must be a string, not {type(description).__name__}.")
    heads = _names(value["head"], f"{place}['head']")
    return place, Relation(name, heads, queries, inverse, tails, threshold, most, one_head, description)


def _attribute(place: str, name: str, value: Any) -> tuple[str, Attribute]:
    example = '{"head": "ASPECT", "options": ["positive", "negative"]}'
    value = _object(place, value, ("head", "options"), ("head", "options"), example)
    given, inner = value["options"], f"{place}['options']"
    if isinstance(given, Mapping):
        options = [
            (option, () if words is None else _names(words, where)) for where, option, words in entries(given, inner)
        ]
        if sum(not words for _, words in options) > 1:
            raise ValueError(
                f"{inner} has several options without a wording, but only one can hold where none of the others is "
                "said. Give the others wordings."
            )
    elif isinstance(given, (list, tuple)):
        options = [(check_text(option, f"{inner}[{i}]"), (option,)) for i, option in enumerate(given)]
    else:
        raise ValueError(f"{inner} must be a list of names, or an object from name to wording, not {given!r}.")
    if len({option for option, _ in options}) < max(2, len(options)):
        raise ValueError(f"{inner} must be at least two different options, of which one is chosen, not {given!r}.")
    return place, Attribute(name, _names(value["head"], f"{place}['head']"), tuple(options))


def _united(placed: Sequence[tuple[str, Any]], what: str) -> list[Any]:
    """Those of one name together; two that differ by their heads alone become one."""
    groups: dict[str, list] = {}
    for place, one in placed:
        group = groups.setdefault(one.name, [])
        for other in group:
            if other._replace(heads=one.heads) == one:
                continue
            if twice := set(other.heads) & set(one.heads):
                raise ValueError(
                    f"{place}: the {what} '{one.name}' is asked of '{sorted(twice)[0]}' twice, in two ways. Give one "
                    "of them another name, or unite them."
                )
        same = next((i for i, other in enumerate(group) if other._replace(heads=one.heads) == one), None)
        if same is None:
            group.append(one)
        else:
            group[same] = one._replace(heads=tuple(dict.fromkeys((*group[same].heads, *one.heads))))
    return [one for group in groups.values() for one in group]


def _record(
    place: str, name: str, value: Any, relations: Sequence[Relation], attributes: Sequence[Attribute], labels: Any
) -> Record:
    value = _object(
        place, value, ("anchor", "fields"), ("anchor",), '{"anchor": "PERSON", "fields": ["works_for", "born_in"]}'
    )
    anchor = check_text(value["anchor"], f"{place}['anchor']")
    if anchor in {relation.name for relation in relations} or (labels is not None and anchor not in labels):
        raise ValueError(f"{place}['anchor'] names '{anchor}', {unknown(anchor, labels or (), ())}")
    starts: dict[str, set[str]] = {}
    for one in (*relations, *attributes):
        starts.setdefault(one.name, set()).update(one.heads)
    if value.get("fields") is None:
        fields = all_fields(anchor, starts)
        if not fields:
            raise ValueError(f"{place}: no link or attribute starts at '{anchor}', so that the record has no fields.")
        return Record(name, anchor, fields)
    fields = _names(value["fields"], f"{place}['fields']")
    for field in fields:
        if field not in starts:
            near = get_close_matches(field, starts, 1)
            raise ValueError(
                f"{place}['fields'] names '{field}', which is neither a link nor an attribute."
                + (f" Did you mean '{near[0]}'?" if near else f" Known are {shown(starts)}." if starts else "")
            )
        if not starts[field] & {anchor, *fields} - {field}:
            raise ValueError(
                f"{place}['fields'] names '{field}', which starts at {shown(starts[field])}, neither at the anchor "
                f"'{anchor}' nor at another field. Leave it out, or add the link between them."
            )
    return Record(name, anchor, fields)
