"""Short forms of links: relations, events, roles and aspects, written out as links, attributes, records and labels."""

from typing import Any, Iterable, Mapping, NamedTuple

from .labels import LABEL_KEYS, Label, check_queries, check_text, parse_label

SHORT_FORMS = ("relations", "events", "roles", "aspects")
VERB = "verb"  # what a label of `roles` is asked as
ASPECT_KEYS = (*LABEL_KEYS, "opinion", "sentiment")
OPINION, SENTIMENT = "opinion", "sentiment"
SENTIMENTS = {"positive": "positive opinion", "negative": "negative opinion", "neutral": None}


class Entry(NamedTuple):
    """A named value of a schema, and its place in messages."""

    place: str
    name: str
    value: Any


class Added(NamedTuple):
    """A label that a short form needs. stated (bool): it says how the label is asked, and not only its name."""

    place: str
    label: Label
    stated: bool


class Expanded(NamedTuple):
    """What short forms stand for."""

    labels: list[Added]
    relations: list[Entry]
    attributes: list[Entry]
    records: list[Entry]


def wording(name: str) -> str:
    """How a name is asked that has no wording of its own: with blanks for "_", a name in capitals in lower case."""
    words = " ".join(name.replace("_", " ").split()) or name
    return words.lower() if words.isupper() else words


def entries(value: Any, place: str) -> list[Entry]:
    """RAISES (ValueError): this is no mapping from names."""
    if not isinstance(value, Mapping):
        raise ValueError(f"{place} must be an object from names to settings, not {type(value).__name__} ({value!r}).")
    return [
        Entry(f"{place}[{name!r}]", check_text(name, f"the name {name!r} of {place}"), one)
        for name, one in value.items()
    ]


def expand(value: Mapping[str, Any]) -> Expanded:
    """The short forms of a schema, written out.

    RAISES (ValueError): one of them is malformed.
    """
    found = Expanded([], [], [], [])
    found.relations.extend(_triples(value.get("relations", ())))
    for form in ("events", "roles"):
        for entry in entries(value.get(form, {}), form):
            _with_roles(*entry, VERB if form == "roles" else wording(entry.name), found)
    for entry in entries(value.get("aspects", {}), "aspects"):
        _aspect(*entry, found)
    return found


def _triples(value: Any) -> Iterable[Entry]:
    """[head, name, tail], or name -> [head, tail]; of one name, pairs with the same heads or tails are united."""
    by_name: dict[str, tuple[str, dict[str, list[str]]]] = {}
    for place, head, name, tail in _rows(value):
        name = check_text(name, f"{place}[1]")
        tails = [] if tail is None else check_queries(tail, f"{place}, its tail,")
        own = by_name.setdefault(name, (place, {}))[1]
        for one in check_queries(head, f"{place}, its head,"):
            if one in own and not (own[one] and tails):
                raise ValueError(f"{place} asks '{name}' of '{one}' a second time: once with a tail, once without.")
            own.setdefault(one, []).extend(tails)
    for name, (place, own) in by_name.items():
        heads: dict[tuple[str, ...], list[str]] = {}
        for head, tails in own.items():
            heads.setdefault(tuple(dict.fromkeys(tails)), []).append(head)
        for tails, group in heads.items():
            yield Entry(place, name, {"head": group, **({"tail": list(tails)} if tails else {})})


def _rows(value: Any) -> Iterable[tuple[str, Any, Any, Any]]:
    if isinstance(value, Mapping):
        for place, name, pair in entries(value, "relations"):
            if not isinstance(pair, (list, tuple)) or len(pair) != 2:
                raise ValueError(f"{place} must be [head, tail], such as ['PERSON', 'ORG'], not {pair!r}.")
            yield place, pair[0], name, pair[1]
    elif isinstance(value, (list, tuple)):
        for i, triple in enumerate(value):
            if not isinstance(triple, (list, tuple)) or len(triple) != 3:
                raise ValueError(
                    f"relations[{i}] must be [head, name, tail], such as ['PERSON', 'works_for', 'ORG'], "
                    f"not {triple!r}."
                )
            yield f"relations[{i}]", *triple
    else:
        raise ValueError(f"relations must be a list of [head, name, tail] or an object, not {value!r}.")


def _label(place: str, name: str, value: Mapping[str, Any], default: str, found: Expanded) -> None:
    """The label of a trigger or an aspect: as it is written here, or as it stands among the labels."""
    own = {key: value[key] for key in LABEL_KEYS if key in value}
    label = parse_label(place, name, {"query": default, **own})
    found.labels.append(Added(place, label, bool(own)))


def _with_roles(place: str, name: str, value: Any, asked_as: str, found: Expanded) -> None:
    example = '{"query": "attack trigger word", "roles": {"victim": "victim of the attack"}}'
    if not isinstance(value, Mapping) or "roles" not in value:
        raise ValueError(f"{place} must be an object with roles, such as {example}, not {value!r}.")
    unknown = set(value) - {*LABEL_KEYS, "roles"}
    if unknown:
        known = ", ".join((*LABEL_KEYS, "roles"))
        raise ValueError(f"{place} has the unknown keys {sorted(map(str, unknown))}; known are {known}.")
    roles, inner = value["roles"], f"{place}['roles']"
    if isinstance(roles, (list, tuple)):
        roles = {check_text(role, f"{inner}[{i}]"): wording(role) for i, role in enumerate(roles)}
    found_roles = entries(roles, inner)
    if not found_roles:
        raise ValueError(f"{inner} is empty. Give at least one role, such as {example}.")
    _label(place, name, value, asked_as, found)
    for where, role, settings in found_roles:
        found.relations.append(_link(where, role, name, settings))
    found.records.append(Entry(place, name, {"anchor": name, "fields": [role.name for role in found_roles]}))


def _aspect(place: str, name: str, value: Any, found: Expanded) -> None:
    if not isinstance(value, Mapping):
        value = {"query": check_queries(value, place)}
    unknown = set(value) - set(ASPECT_KEYS)
    if unknown:
        raise ValueError(
            f"{place} has the unknown keys {sorted(map(str, unknown))}; known are {', '.join(ASPECT_KEYS)}."
        )
    _label(place, name, value, wording(name), found)
    fields = []
    if (opinion := value.get(OPINION, OPINION)) is not False and opinion is not None:
        found.relations.append(_link(f"{place}['{OPINION}']", OPINION, name, opinion))
        fields.append(OPINION)
    if (sentiment := value.get(SENTIMENT, SENTIMENTS)) is not False and sentiment is not None:
        where = f"{place}['{SENTIMENT}']"
        if isinstance(sentiment, (list, tuple)) and all(isinstance(option, str) for option in sentiment):
            sentiment = {option: SENTIMENTS.get(option, option) for option in sentiment}
        found.attributes.append(Entry(where, SENTIMENT, {"head": name, "options": sentiment}))
        fields.append(SENTIMENT)
    if not fields:
        raise ValueError(f"{place} asks for neither opinions nor a sentiment. Make it a label, or keep one of them.")
    found.records.append(Entry(place, name, {"anchor": name, "fields": fields}))


def _link(place: str, name: str, head: str, settings: Any) -> Entry:
    """A role or an opinion as a link: its settings, or its wordings."""
    if isinstance(settings, Mapping):
        if "head" in settings:
            raise ValueError(f"{place} has a 'head'; it is '{head}' here. Leave it out, or write it under 'links'.")
        return Entry(place, name, {"head": head, **settings})
    return Entry(place, name, {"head": head, "query": check_queries(settings, place)})
