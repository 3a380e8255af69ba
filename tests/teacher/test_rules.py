"""Rules as a teacher: what can never match is refused, and what was not found is not called absent."""

import json
import logging

import pytest
import spacy
from helpers import SENTENCES
from hypothesis import given, settings
from hypothesis import strategies as st

from metaie_spacy.data.known import known_of
from metaie_spacy.data.rows import check_row, read_rows
from metaie_spacy.teacher.annotate import annotate
from metaie_spacy.teacher.annotators import RulesAnnotator
from metaie_spacy.teacher.rules import NEVER_SET, check_rule

NLP = spacy.blank("en")


def save(folder, *patterns, label="city"):
    path = folder / "rules.jsonl"
    rules = [pattern if isinstance(pattern, dict) else {"label": label, "pattern": pattern} for pattern in patterns]
    path.write_text("".join(json.dumps(rule) + "\n" for rule in rules), encoding="utf8")
    return path


def found(folder, text, *patterns):
    annotation = RulesAnnotator(save(folder, *patterns))(text)
    return [text[span["start"] : span["end"]] for span in annotation.spans]


@pytest.mark.parametrize("name", [*NEVER_SET, "ent_type", "Pos"])
@pytest.mark.parametrize("value", ["X", {"IN": ["X"]}, {"NOT_IN": ["X"]}, True])
def test_a_rule_on_what_a_blank_pipeline_never_sets_is_refused_with_its_line(tmp_path, name, value):
    path = save(tmp_path, "Paris", [{"LOWER": "in"}, {name: value, "OP": "+"}])
    with pytest.raises(ValueError, match=f"rules.jsonl, line 2: token 2: {name.upper()} is never set .*LOWER"):
        RulesAnnotator(path)


@pytest.mark.parametrize(
    "pattern, message",
    [
        ("", "empty"),
        (" \n", "empty"),
        ([], "empty"),
        (["Paris"], 'token 1 is "Paris"; expected an object'),
        ([{"LOWER": "Paris"}], "has capitals.*Write 'paris'"),
        ([{"NORM": "Paris"}], "has capitals.*Write 'paris'"),
        ([{"LOWER": {"IN": ["Paris", "ROME"]}}], "has capitals"),
        ([{"LOWER": {"NOT_IN": ["Paris"]}}], "has capitals"),
        ([{"LOWER": {"INTERSECTS": ["Paris"]}}], "has capitals"),
        ([{"LOWER": {"REGEX": "^Paris$"}}], "has capitals"),
        ([{"LOWER": {"REGEX": {"IN": ["Paris", "Rome"]}}}], "has capitals"),
        ([{"TEXT": "New York"}], "white space.*each word"),
        ([{"LOWER": "new\u00a0york"}], "white space"),
        ([{"ORTH": {"REGEX": "New York"}}], "white space"),
        ([{"ORTH": {"IN": ["New York", ""]}}], "white space"),
        ([{"TEXT": ""}], "empty string"),
        ([{"TEXT": 5}], "must be a string"),
        ([{"TEXT": None}], "must be a string"),
        ([{"TEXT": ["a"]}], "must be a string"),
        ([{"TEXT": {"IN": []}}], "empty list"),
        ([{"TEXT": {"NOT_IN": []}}], "empty list"),
        ([{"TEXT": {"IN": "Paris"}}], "expected a list"),
        ([{"TEXT": {"==": "Paris"}}], 'knows no "=="'),
        ([{"TEXT": {"MATCHES": "Paris"}}], "knows no"),
        ([{"TEXT": {"REGEX": "("}}], "no regular expression"),
        ([{"TEXT": {"REGEX": ["a"]}}], "expected a list of strings"),
        ([{"TEXT": {"IS_SUPERSET": ["a", "b"]}}], "several values at once"),
        ([{"SHAPE": "Paris"}], "is no shape"),
        ([{"SHAPE": "Xxxxxx"}], "is no shape"),
        ([{"SHAPE": "19dd"}], "is no shape"),
        ([{"PREFIX": "Pa"}], "is no PREFIX"),
        ([{"SUFFIX": "aris"}], "is no SUFFIX"),
        ([{"IS_ALPHA": "yes"}], "true or false"),
        ([{"IS_ALPHA": 2}], "true or false"),
        ([{"LENGTH": 0}], "no token has a LENGTH"),
        ([{"LENGTH": -1}], "no token has a LENGTH"),
        ([{"LENGTH": {">": 5, "<": 6}}], "no token has a LENGTH"),
        ([{"LENGTH": {"<": 1}}], "no token has a LENGTH"),
        ([{"LENGTH": {"==": 2.5}}], "no token has a LENGTH"),
        ([{"LENGTH": {"IN": []}}], "no token has a LENGTH"),
        ([{"LENGTH": 3.0}], "a whole number"),
        ([{"LENGTH": "3"}], "a whole number"),
        ([{"LENGTH": True}], "a whole number"),
        ([{"LENGTH": {">": "3"}}], "with numbers"),
        ([{"LENGTH": {"REGEX": "3"}}], "LENGTH knows no REGEX"),
        ([{"TEXT": "a", "OP": "{0}"}, {"TEXT": "b"}], "0 times"),
        ([{"TEXT": "a", "OP": "{,0}"}, {"TEXT": "b"}], "0 times"),
        ([{"TEXT": "a", "OP": "{3,1}"}], "more than it allows"),
        ([{"TEXT": "a", "OP": "{,}"}], "OP is"),
        ([{"TEXT": "a", "OP": "{-1,2}"}], "OP is"),
        ([{"TEXT": "a", "OP": "**"}], "OP is"),
        ([{"TEXT": "a", "OP": 1}], "OP is"),
        ([{"OP": "!"}, {"TEXT": "a"}], "alone asks for no token"),
        ([{"TEXT": "a", "OP": "!"}], "optional or negated"),
        ([{"TEXT": "a", "OP": "?"}, {"TEXT": "b", "op": "*"}], "optional or negated"),
        ([{"TEXT": "a", "OP": "{0,2}"}, {"TEXT": "b", "OP": "!"}], "optional or negated"),
        ([{"_": {"is_city": True}}], "no extension attribute 'is_city'"),
        ([{"IS_CITY": True}], "IS_CITY is nothing that a token has"),
        ([{"TEXT": "a", "text": "b"}], "names an attribute twice"),
        ([{"TEXT": "Paris", "LOWER": "rome"}], "exclude each other"),
        ([{"TEXT": "Paris", "LENGTH": 4}], "exclude each other"),
        ([{"LOWER": "1815", "IS_ALPHA": True}], "exclude each other"),
        ([{"IS_LOWER": True, "IS_UPPER": True}], "at once"),
        ([{"IS_DIGIT": True, "IS_PUNCT": True}], "at once"),
    ],
)
def test_a_rule_that_can_never_match_is_refused_with_line_and_reason(tmp_path, pattern, message):
    with pytest.raises(ValueError, match=f"rules.jsonl, line 2: .*{message}"):
        RulesAnnotator(save(tmp_path, "Paris", pattern))


@pytest.mark.parametrize(
    "line, message",
    [
        (b'{"label": "", "pattern": "x"}', "the label is empty"),
        (b'{"label": " \\t", "pattern": "x"}', "the label is empty"),
        (b'{"label": 5, "pattern": "x"}', "expected"),
        (b'{"label": "x", "pattern": {"LOWER": "x"}}', "expected"),
        (b'{"label": "x", "pattern": "x", "id": [1]}', 'the "id"'),
        (b'{"label": "x", "pattern"', "not JSON"),
        (b'{"label": "x", "pattern": "\xff"}', "not UTF-8"),
        (b'{"label": "\\ud800", "pattern": "x"}', "half a character"),
    ],
)
def test_a_line_that_is_no_rule_is_refused(tmp_path, line, message):
    (tmp_path / "rules.jsonl").write_bytes(b'{"label": "city", "pattern": "Paris"}\n\n' + line + b"\n")
    with pytest.raises(ValueError, match=f"rules.jsonl, line 3: {message}"):
        RulesAnnotator(tmp_path / "rules.jsonl")
    (tmp_path / "rules.jsonl").write_bytes(b"\n")
    with pytest.raises(ValueError, match=r"rules.jsonl: there is no rule. Write a line such as \{"):
        RulesAnnotator(tmp_path / "rules.jsonl")


@pytest.mark.parametrize(
    "pattern, expected",
    [
        ([{"LOWER": {"IN": ["Brain", "lung"]}}], "'Brain' has capitals"),
        ([{"LOWER": "brain-tumour"}], "makes 'brain', '-', 'tumour' of it"),
        ([{"LOWER": {"REGEX": "Br(ai)?n"}}], "has capitals"),
        ([{"TEXT": {"REGEX": "brain (tumour|scan)"}}], "white space"),
        ([{"LOWER": "brain", "IS_DIGIT": True}], "perhaps the conditions"),
        ([{}], "matches any token"),
        ("brain  tumour", "white space"),
    ],
)
def test_a_doubtful_rule_is_kept_and_logged_with_its_line(tmp_path, caplog, pattern, expected):
    with caplog.at_level(logging.WARNING):
        RulesAnnotator(save(tmp_path, "Paris", pattern))
    (message,) = [record.getMessage() for record in caplog.records]
    assert message.startswith(f"{tmp_path / 'rules.jsonl'}, line 2: ") and expected in message


@pytest.mark.parametrize(
    "pattern, expected",
    [
        ("New York", ["New York"]),
        ([{"lower": "new"}, {"TEXT": {"regex": "^Y"}}], ["New York"]),
        ([{"NORM": "January"}], ["Jan."]),
        ([{"SHAPE": "dddd"}], ["1815"]),
        ([{"PREFIX": "Y"}, {"IS_PUNCT": True}], ["York,"]),
        ([{"SUFFIX": "ork"}], ["York"]),
        ([{"LENGTH": {">=": 4, "NOT_IN": [5]}, "IS_DIGIT": True}], ["1815"]),
        ([{"LOWER": {"FUZZY1": "yrok"}}], []),
        ([{"LOWER": {"FUZZY": "yrok"}}], ["York"]),
        ([{"LOWER": "very", "OP": "+"}, {"LOWER": {"IN": ["big"]}}], ["very very big"]),
        ([{"LOWER": "very", "OP": "{2}"}, {"LOWER": "small", "OP": "!"}], ["very very big"]),
        ([{"TEXT": "\n"}, {"LOWER": "it"}], ["\nIt"]),
        ([{"LOWER": "york", "SPACY": False, "IS_TITLE": True}], ["York"]),
        ([{"TEXT": {"REGEX": {"IN": ["^18", "^19"]}}}], ["1815"]),
        ([{"LIKE_NUM": 1}], ["1815"]),
        ([{"TEXT": {"IS_SUBSET": ["York", "Rome"]}}], ["York"]),
    ],
)
def test_what_matches_is_not_refused(tmp_path, caplog, pattern, expected):
    with caplog.at_level(logging.WARNING):
        assert found(tmp_path, "In Jan. 1815 New York, \nIt was very very big.", pattern) == expected
    assert not caplog.records


TOKENS = {
    "ORTH": lambda token: token.orth_,
    "LOWER": lambda token: token.lower_,
    "NORM": lambda token: token.norm_,
    "SHAPE": lambda token: token.shape_,
    "PREFIX": lambda token: token.prefix_,
    "SUFFIX": lambda token: token.suffix_,
    "LENGTH": len,
    "IS_ALPHA": lambda token: token.is_alpha,
    "IS_TITLE": lambda token: token.is_title,
    "IS_LOWER": lambda token: token.is_lower,
    "IS_PUNCT": lambda token: token.is_punct,
    "LIKE_NUM": lambda token: token.like_num,
    "SPACY": lambda token: bool(token.whitespace_),
}


@settings(derandomize=True, deadline=None, max_examples=150)
@given(data=st.data(), text=st.sampled_from(SENTENCES) | st.text(st.characters(codec="utf8"), min_size=1, max_size=20))
def test_a_pattern_made_of_the_tokens_of_a_text_is_never_refused(data, text):
    doc = NLP(text)
    first = data.draw(st.integers(0, len(doc) - 1))
    pattern = []
    for token in doc[first : first + 3]:
        names = data.draw(st.lists(st.sampled_from(sorted(TOKENS)), min_size=1, max_size=4, unique=True))
        pattern.append({name: TOKENS[name](token) for name in names})
    list(check_rule({"label": "x", "pattern": pattern}, NLP))  # what is doubtful may be logged


def test_rules_leave_open_what_they_did_not_find(tmp_path):
    path = save(tmp_path, "Paris", {"label": "person", "pattern": "Ada"}, {"label": "drug", "pattern": "aspirin"})
    texts = [{"id": "a", "text": "Paris: Ada left Paris.", "meta": {"n": 1}}, {"id": "b", "text": "Nobody."}]
    annotate(texts, tmp_path / "out.jsonl", RulesAnnotator(path), progress=False)
    one, two = read_rows(tmp_path / "out.jsonl")
    for row in (one, two):
        check_row(row)
    assert two["spans"] == two["absent"] == two["asked"] == two["unsure"] == []
    assert one["absent"] == [] and one["asked"] == ["city", "person"]
    assert one["unsure"] == [
        {"start": 5, "end": 16, "label": "city"},
        {"start": 21, "end": 22, "label": "city"},
        {"start": 0, "end": 7, "label": "person"},
        {"start": 10, "end": 22, "label": "person"},
    ]
    for closed in (None, ["city", "person", "drug"]):
        known = known_of(one, closed)
        spans = {(s["start"], s["end"], s["label"]) for s in one["spans"]}
        every = {(i, j, label) for i in range(22) for j in range(i + 1, 23) for label in ("city", "person", "drug")}
        decided = {spot for spot in every if known.decides(spot)}
        # What lies inside a found span or over its ends is decided only as far as it meets nothing that is open.
        assert spans <= decided
        assert all(any(a <= i and j <= b and of == label for a, b, of in spans) for i, j, label in decided)
        assert not any(known_of(two, closed).decides(spot) for spot in every)


def test_rules_write_rows_in_the_order_of_the_texts(tmp_path):
    texts = [{"id": str(number), "text": f"Ada is in Paris {number}."} for number in range(500)]
    annotate(texts, tmp_path / "out.jsonl", RulesAnnotator(save(tmp_path, "Paris")), progress=False)
    assert [row["id"] for row in read_rows(tmp_path / "out.jsonl")] == [row["id"] for row in texts]


def test_rules_that_are_exhaustive_say_what_is_absent_and_do_not_go_on_with_rows_of_others(tmp_path):
    path = save(tmp_path, "Paris", {"label": "person", "pattern": "Ada"})
    texts = [{"id": "a", "text": "Ada left."}]
    annotate(texts, tmp_path / "out.jsonl", RulesAnnotator(path, exhaustive=True), progress=False)
    (row,) = read_rows(tmp_path / "out.jsonl")
    assert row["absent"] == ["city"] and not row.keys() & {"asked", "unsure"}
    with pytest.raises(
        ValueError, match="line 1: a row of 'rules:rules.jsonl' made with another prompt, or other rules"
    ):
        annotate(texts, tmp_path / "out.jsonl", RulesAnnotator(path), progress=False)


def test_the_command_says_absent_only_if_told_that_rules_are_exhaustive(call, tmp_path):
    path = save(tmp_path, "Paris", {"label": "person", "pattern": "Ada"})
    for name, more, absent in (("a", [], []), ("b", ["--exhaustive"], ["city"])):
        out = tmp_path / f"{name}.jsonl"
        assert call("annotate", "-", out, "--rules", path, *more, stdin=b"Ada left.\n").code == 0
        assert next(read_rows(out))["absent"] == absent
    result = call("annotate", "-", tmp_path / "c.jsonl", "--exhaustive", stdin=b"Ada left.\n")
    assert result.code == 1 and "give it with --rules" in result.err
    save(tmp_path, [{"ENT_TYPE": "GPE"}])
    result = call("annotate", "-", tmp_path / "c.jsonl", "--rules", path, "--exhaustive", stdin=b"Ada left.\n")
    assert result.code == 1 and result.err.count("\n") == 1 and "line 1: token 1: ENT_TYPE is never set" in result.err
    assert not (tmp_path / "c.jsonl").exists()
