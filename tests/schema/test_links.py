"""Links, attributes, events and records of a schema: what is understood, and what is refused with its place."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metaie_spacy.schema import (
    Ask,
    Attribute,
    Label,
    LinkSchema,
    Record,
    Relation,
    ask_names,
    parse_ask,
    parse_labels,
    parse_links,
    parse_schema,
    plain_ask,
    plain_links,
    read_schema,
)

LABELS = {"PERSON": "person", "ORG": "organization", "PLACE": "place"}
SETTLED = {
    "works_for": {
        "head": "PERSON",
        "query": "employer",
        "inverse": "employee",
        "tail": "ORG",
        "threshold": 0.4,
        "max": 1,
        "one_head": True,
        "description": "today",
    },
    "based_in": {"head": ["ORG", "works_for"], "query": ["headquarters", "seat"], "tail": ["PLACE", "ORG"]},
}


def parsed(**parts):
    return parse_schema({"labels": LABELS, **parts})[1]


def test_a_link_says_of_whom_what_and_how_it_is_asked():
    works_for, based_in = parsed(links=SETTLED).relations
    assert works_for == Relation(
        "works_for", ("PERSON",), ("employer",), ("employee",), ("ORG",), 0.4, 1, True, "today"
    )
    assert based_in == Relation("based_in", ("ORG", "works_for"), ("headquarters", "seat"), (), ("PLACE", "ORG"))


def test_a_link_without_a_query_is_asked_by_its_name():
    links = parsed(links={"date_of_birth": {"head": "PERSON"}, "CEO": {"head": "ORG"}}).relations
    assert [link.queries for link in links] == [("date of birth",), ("ceo",)]


def test_relations_are_triples_or_pairs_by_name():
    triples = [["PERSON", "works_for", "ORG"], ["PERSON", "works_for", "PLACE"], ["PERSON", "age", None]]
    works_for, age = parsed(relations=triples).relations
    assert works_for == Relation("works_for", ("PERSON",), ("works for",), tails=("ORG", "PLACE"))
    assert age == Relation("age", ("PERSON",), ("age",))
    assert parsed(relations={"works_for": ["PERSON", ["ORG", "PLACE"]]}).relations == (works_for,)


def test_relations_of_one_name_pair_no_head_with_the_tails_of_another():
    triples = [["PERSON", "lives_in", "PLACE"], ["ORG", "lives_in", "PLACE"], ["ORG", "lives_in", "ORG"]]
    found = parsed(relations=triples).relations
    assert [(link.heads, link.tails) for link in found] == [(("PERSON",), ("PLACE",)), (("ORG",), ("PLACE", "ORG"))]


def test_an_event_adds_its_trigger_its_roles_and_a_record():
    events = {
        "ATTACK": {
            "query": "attack trigger word",
            "threshold": 0.3,
            "roles": {"victim": {"query": "who was attacked", "tail": "PERSON"}, "place": "place of the attack"},
        },
        "FOUNDING": {"roles": ["place", "founder"]},
    }
    labels, found = parse_schema({"labels": LABELS, "events": events})
    assert labels[3:] == (Label("ATTACK", "attack trigger word", 0.3), Label("FOUNDING", "founding"))
    assert [(link.name, link.heads, link.queries, link.tails) for link in found.relations] == [
        ("victim", ("ATTACK",), ("who was attacked",), ("PERSON",)),
        ("place", ("ATTACK",), ("place of the attack",), ()),
        ("place", ("FOUNDING",), ("place",), ()),
        ("founder", ("FOUNDING",), ("founder",), ()),
    ]
    assert found.records == (
        Record("ATTACK", "ATTACK", ("victim", "place")),
        Record("FOUNDING", "FOUNDING", ("place", "founder")),
    )


def test_roles_that_two_events_ask_alike_are_one_link():
    events = {name: {"roles": ["place", "date"]} for name in ("ATTACK", "ARREST")}
    assert [(link.name, link.heads) for link in parsed(events=events).relations] == [
        ("place", ("ATTACK", "ARREST")),
        ("date", ("ATTACK", "ARREST")),
    ]


def test_an_event_may_be_a_label_that_is_asked_anyway():
    labels = {"ATTACK": ["attack", "assault"]}
    found, _ = parse_schema({"labels": labels, "events": {"ATTACK": {"roles": ["victim"]}}})
    assert found == parse_labels(labels)
    with pytest.raises(ValueError, match=r"events\['ATTACK'\] asks the label 'ATTACK' in another way"):
        parse_schema({"labels": labels, "events": {"ATTACK": {"query": "raid", "roles": ["victim"]}}})


def test_predicates_are_verbs_unless_another_query_is_given():
    labels, found = parse_schema({"roles": {"PREDICATE": {"roles": ["doer", "thing affected"]}}})
    assert labels == (Label("PREDICATE", "verb"),)
    assert [link.name for link in found.relations] == ["doer", "thing affected"]


def test_aspects_have_opinions_and_a_sentiment():
    labels, found = parse_schema({"aspects": {"ASPECT": "aspect term"}})
    assert labels == (Label("ASPECT", "aspect term"),)
    assert found.relations == (Relation("opinion", ("ASPECT",), ("opinion",)),)
    ((name, heads, options),) = found.attributes
    assert (name, heads) == ("sentiment", ("ASPECT",)) and dict(options)["negative"] == ("negative opinion",)
    assert found.records == (Record("ASPECT", "ASPECT", ("opinion", "sentiment")),)


def test_aspects_may_be_asked_for_one_of_both():
    both = {"FOOD": {"sentiment": ["positive", "mixed"], "opinion": "what is said"}, "STAFF": {"opinion": False}}
    _, found = parse_schema({"aspects": both})
    assert found.relations == (Relation("opinion", ("FOOD",), ("what is said",)),)
    assert found.attributes[0].options == (("positive", ("positive opinion",)), ("mixed", ("mixed",)))
    assert [record.fields for record in found.records] == [("opinion", "sentiment"), ("sentiment",)]


@pytest.mark.parametrize("form", ["mapping", "list"])
def test_a_label_may_bring_attributes(form):
    own = {"query": "company", "attributes": {"status": ["active", "bankrupt"], "size": {"small": "small firm", "big": ["big", "large"]}}}  # fmt: skip
    labels = {"ORG": own} if form == "mapping" else [{"name": "ORG", **own}]
    found, links = parse_schema({"labels": labels})
    assert found == (Label("ORG", "company"),)
    assert links.attributes == (
        Attribute("status", ("ORG",), (("active", ("active",)), ("bankrupt", ("bankrupt",)))),
        Attribute("size", ("ORG",), (("small", ("small firm",)), ("big", ("big", "large")))),
    )


def test_a_record_without_fields_has_all_that_starts_at_its_anchor():
    links = {
        **SETTLED,
        "born": {"head": "PERSON"},
        "founded": {"head": "PLACE"},
        "chief": {"head": "based_in"},
    }
    (record,) = parsed(links=links, records={"person": {"anchor": "PERSON"}}).records
    assert record == Record("person", "PERSON", ("works_for", "born", "based_in", "chief"))


def test_a_record_of_the_user_replaces_that_of_an_event():
    events = {"ATTACK": {"roles": ["victim", "place"]}}
    found = parsed(events=events, records={"ATTACK": {"anchor": "ATTACK", "fields": ["victim"]}})
    assert found.records == (Record("ATTACK", "ATTACK", ("victim",)),)


CASES = [
    ({"links": []}, "links must be an object from names to settings, not list"),
    ({"links": {"x": "employer"}}, r"links\['x'\] must be an object such as .*\"head\""),
    ({"links": {"x": {"query": "employer"}}}, r"links\['x'\] has no \"head\""),
    ({"links": {"x": {"head": "PERSON", "tails": "ORG"}}}, r"links\['x'\] has the unknown keys \['tails'\]; known are head"),
    ({"links": {"x": {"head": "PERSN"}}}, r"links\['x'\]\['head'\] names 'PERSN'.*Did you mean 'PERSON'\?"),
    ({"links": {"x": {"head": "film"}}}, "neither a label nor a link of this schema. Known are ORG, PERSON, PLACE, x"),
    ({"links": {"x": {"head": "PERSON", "tail": "film"}}}, r"links\['x'\]\['tail'\] names 'film', which is no label"),
    ({"links": {"x": {"head": "PERSON"}, "y": {"head": "ORG", "tail": "x"}}}, r"links\['y'\]\['tail'\] names the link 'x'. A tail is a label"),
    ({"links": {"x": {"head": []}}}, r"links\['x'\]\['head'\] is an empty list"),
    ({"links": {"x": {"head": ["PERSON", 3]}}}, r"links\['x'\]\['head'\]\[1\] must be a string, not int"),
    ({"links": {"x": {"head": "PERSON", "query": " "}}}, r"links\['x'\]\['query'\] is empty"),
    ({"links": {"x": {"head": "PERSON", "inverse": 1}}}, r"links\['x'\]\['inverse'\] must be a string"),
    ({"links": {"x": {"head": "PERSON", "threshold": 2}}}, r"links\['x'\]\['threshold'\] must be a number between 0 and 1, not 2"),
    ({"links": {"x": {"head": "PERSON", "max": 0}}}, r"links\['x'\]\['max'\] must be a whole number from 1 on.* not 0"),
    ({"links": {"x": {"head": "PERSON", "max": True}}}, r"links\['x'\]\['max'\] must be a whole number"),
    ({"links": {"x": {"head": "PERSON", "one_head": 1}}}, r"links\['x'\]\['one_head'\] must be true or false"),
    ({"links": {"x": {"head": "PERSON", "description": 1}}}, r"links\['x'\]\['description'\] must be a string"),
    ({"links": {"": {"head": "PERSON"}}}, "the name '' of links is empty"),
    ({"links": {"ORG": {"head": "PERSON"}}}, r"links\['ORG'\]: 'ORG' is the name of a label too"),
    ({"links": {"x": [{"head": "PERSON"}, {"head": ["ORG", "PERSON"], "max": 1}]}}, r"links\['x'\]\[1\]: the link 'x' is asked of 'PERSON' twice"),
    ({"links": {"x": {"head": "x"}}}, "the links go in a circle: 'x' -> 'x'"),
    ({"links": {"x": {"head": "z"}, "y": {"head": ["x", "PERSON"]}, "z": {"head": "y"}}}, "go in a circle: 'x' -> 'y' -> 'z' -> 'x'"),
    ({"relations": [["PERSON", "works_for"]]}, r"relations\[0\] must be \[head, name, tail\]"),
    ({"relations": {"works_for": "ORG"}}, r"relations\['works_for'\] must be \[head, tail\]"),
    ({"relations": "x"}, "relations must be a list of"),
    ({"relations": [["PERSON", "x", "ORG"], ["PERSON", "x", None]]}, r"relations\[1\] asks 'x' of 'PERSON' a second time: once with a tail, once without"),
    ({"relations": [["PERSON", "x", "film"]]}, r"relations\[0\]\['tail'\] names 'film'"),
    ({"links": {"x": {"head": "PERSON"}}, "relations": [["PERSON", "x", "ORG"]]}, r"relations\[0\]: the link 'x' is asked of 'PERSON' twice"),
    ({"events": {"ATTACK": {"victim": "x"}}}, r"events\['ATTACK'\] must be an object with roles"),
    ({"events": {"ATTACK": {"roles": {}}}}, r"events\['ATTACK'\]\['roles'\] is empty"),
    ({"events": {"ATTACK": {"roles": ["x"], "tail": "ORG"}}}, r"events\['ATTACK'\] has the unknown keys \['tail'\]"),
    ({"events": {"ATTACK": {"query": "", "roles": ["x"]}}}, r"events\['ATTACK'\]\['query'\] is empty"),
    ({"events": {"ATTACK": {"roles": {"x": {"head": "ORG"}}}}}, r"events\['ATTACK'\]\['roles'\]\['x'\] has a 'head'"),
    ({"events": {"ATTACK": {"roles": {"x": {"tail": "film"}}}}}, r"events\['ATTACK'\]\['roles'\]\['x'\]\['tail'\] names 'film'"),
    ({"aspects": {"ASPECT": {"opinions": "x"}}}, r"aspects\['ASPECT'\] has the unknown keys \['opinions'\]"),
    ({"aspects": {"ASPECT": {"opinion": False, "sentiment": None}}}, r"aspects\['ASPECT'\] asks for neither"),
    ({"attributes": {"x": {"head": "ORG"}}}, r"attributes\['x'\] has no \"options\""),
    ({"attributes": {"x": {"head": "ORG", "options": ["a"]}}}, r"attributes\['x'\]\['options'\] must be at least two different options"),
    ({"attributes": {"x": {"head": "ORG", "options": ["a", "b", "a"]}}}, "two different options"),
    ({"attributes": {"x": {"head": "ORG", "options": {"a": None, "b": None}}}}, "several options without a wording"),
    ({"attributes": {"x": {"head": "ORG", "options": "a, b"}}}, r"attributes\['x'\]\['options'\] must be a list of names"),
    ({"attributes": {"x": {"head": "film", "options": ["a", "b"]}}}, r"attributes\['x'\]\['head'\] names 'film'"),
    ({"links": {"x": {"head": "ORG"}}, "attributes": {"x": {"head": "ORG", "options": ["a", "b"]}}}, r"attributes\['x'\]: 'x' is the name of a link too"),
    ({"records": {"r": {"fields": ["x"]}}}, r"records\['r'\] has no \"anchor\""),
    ({"records": {"r": {"anchor": "film"}}}, r"records\['r'\]\['anchor'\] names 'film', which is no label"),
    ({"records": {"r": {"anchor": "ORG"}}}, r"records\['r'\]: no link or attribute starts at 'ORG'"),
    ({"links": SETTLED, "records": {"r": {"anchor": "PERSON", "fields": ["works_fr"]}}}, r"records\['r'\]\['fields'\] names 'works_fr'.*Did you mean 'works_for'"),
    ({"links": SETTLED, "records": {"r": {"anchor": "PLACE", "fields": ["works_for"]}}}, "which starts at PERSON, neither at the anchor 'PLACE'"),
]  # fmt: skip


@pytest.mark.parametrize("parts, message", CASES)
def test_what_is_no_link_is_refused_with_its_place_and_what_to_do(parts, message):
    with pytest.raises(ValueError, match=message):
        read_schema({"labels": LABELS, **parts})


def test_attributes_of_a_label_are_refused_with_their_place():
    with pytest.raises(ValueError, match=r"labels\['ORG'\]\['attributes'\]\['status'\]\['options'\] must be at least"):
        read_schema({"labels": {"ORG": {"attributes": {"status": ["active"]}}}})
    with pytest.raises(ValueError, match="known are query, .* and in a schema 'attributes'"):
        parse_labels({"ORG": {"attributes": {}}})


def test_the_longest_chain_of_links_is_no_circle_and_no_crash():
    chain = {f"link {i}": {"head": f"link {i + 1}"} for i in range(5000)} | {"link 5000": {"head": "ORG"}}
    assert len(parsed(links=chain).relations) == 5001
    with pytest.raises(ValueError, match="go in a circle"):
        parsed(links={**chain, "link 5000": {"head": "link 0"}})


def test_names_are_taken_for_labels_where_labels_are_not_known():
    links = {"links": {"x": {"head": "film", "tail": "person"}, "y": {"head": "x"}}}
    assert [link.heads for link in parse_links(links).relations] == [("film",), ("x",)]
    with pytest.raises(ValueError, match="names 'film'"):
        parse_links(links, ["person"])
    with pytest.raises(ValueError, match=r"events\['ATTACK'\] needs the label 'ATTACK', which is not asked"):
        parse_links({"events": {"ATTACK": {"roles": ["x"]}}}, ["person"])
    with pytest.raises(ValueError, match=r"unknown keys \['link'\]; known are links, attributes"):
        parse_links({"link": {}})


FULL = {
    "labels": {**LABELS, "DISH": {"query": "dish", "attributes": {"taste": ["good", "bad"]}}},
    "links": SETTLED,
    "relations": [["PERSON", "lives_in", "PLACE"], ["ORG", "lives_in", "ORG"]],
    "events": {"ATTACK": {"roles": {"victim": {"query": "victim", "max": 2}, "place": "where"}}, "ARREST": {"roles": ["place"]}},
    "roles": {"PREDICATE": {"roles": ["doer"]}},
    "aspects": {"ASPECT": "aspect"},
    "records": {"person": {"anchor": "PERSON"}},
    "link_threshold": 0.3,
}  # fmt: skip


def test_a_schema_comes_back_checked_in_plain_form_that_reads_as_itself():
    checked = read_schema(FULL)
    assert set(checked) == {"labels", "links", "attributes", "records", "link_threshold"}
    assert read_schema(json.loads(json.dumps(checked))) == checked
    assert list(checked["labels"]) == [*FULL["labels"], "ATTACK", "ARREST", "PREDICATE", "ASPECT"]
    assert checked["links"]["based_in"] == SETTLED["based_in"] and checked["links"]["works_for"] == SETTLED["works_for"]
    assert parse_schema(checked) == parse_schema(FULL)


def test_a_schema_of_events_needs_no_labels_of_its_own():
    assert read_schema({"events": {"ATTACK": {"roles": ["victim"]}}})["labels"] == {"ATTACK": "attack"}
    with pytest.raises(ValueError, match='a schema is an object with "labels"'):
        read_schema({"links": {}})


def test_a_schema_without_links_names_none_and_one_with_empty_links_says_so():
    assert read_schema({"labels": LABELS}) == {"labels": LABELS}
    assert read_schema({"labels": LABELS, "links": {}}) == {"labels": LABELS, "links": {}}


def test_a_text_may_bring_links():
    ask = parse_ask(FULL)
    assert ask.links == parse_schema(FULL)[1] and ask.link_threshold == 0.3
    assert parse_ask(json.loads(json.dumps(plain_ask(ask)))) == ask
    assert ask_names(FULL) == list(read_schema(FULL)["labels"])


def test_a_text_that_brings_labels_alone_says_nothing_of_links():
    assert parse_ask(["person"]) == Ask((Label("person", "person"),))
    assert parse_ask({"labels": ["person"], "links": {}}).links == LinkSchema()
    assert parse_ask(plain_ask(Ask((Label("person", "person"),), links=LinkSchema()))).links == LinkSchema()
    named = parse_ask({"labels": "tag", "links": "hyperlink"})  # two labels of these names
    assert [label.query for label in named.labels] == ["tag", "hyperlink"] and named.links is None


@pytest.mark.parametrize(
    "more, message",
    [
        ({"link_threshold": 2}, "link_threshold must be a number between 0 and 1"),
        ({"links": {"x": {"head": "film"}}}, r"links\['x'\]\['head'\] names 'film'"),
    ],
)
def test_links_of_a_text_are_refused_as_those_of_a_schema(more, message):
    with pytest.raises(ValueError, match=message):
        parse_ask({"labels": LABELS, **more})


words = st.text("abc _.", min_size=1, max_size=4).filter(lambda text: text.strip())
relation = st.builds(
    lambda query, inverse, tail, more: {"query": query, **({"inverse": inverse} if inverse else {}), **({"tail": tail} if tail else {}), **more},
    st.lists(words, min_size=1, max_size=2),
    st.lists(words, max_size=2),
    st.lists(st.sampled_from(sorted(LABELS)), max_size=2),
    st.fixed_dictionaries({}, optional={"threshold": st.floats(0, 1), "max": st.integers(1, 9), "one_head": st.booleans(), "description": words}),
)  # fmt: skip
by_head = st.dictionaries(st.sampled_from(sorted(LABELS)), relation, min_size=1)


@given(st.dictionaries(words, by_head, max_size=4), st.dictionaries(words, st.lists(words, min_size=2, unique=True)))
def test_plain_links_parse_to_themselves(links, attributes):
    given = {
        "links": {name: [{"head": head, **one} for head, one in heads.items()] for name, heads in links.items()},
        "attributes": {
            f"its {name}": {"head": "ORG", "options": dict.fromkeys(options, ["wording", "other"])}
            for name, options in attributes.items()
        },
        "records": {"all": {"anchor": "ORG"}} if any("ORG" in heads for heads in links.values()) else {},
    }
    found = parse_links(given, LABELS)
    assert parse_links(json.loads(json.dumps(plain_links(found))), LABELS) == found


def test_an_option_without_a_wording_comes_back_as_it_was():
    given = {"attributes": {"tone": {"head": "ASPECT", "options": {"glad": "glad words", "neither": None}}}}
    found = parse_links(given)
    assert found.attributes[0].options == (("glad", ("glad words",)), ("neither", ()))
    assert plain_links(found) == given and parse_links(plain_links(found)) == found
