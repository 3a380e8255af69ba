"""The two forms of a teacher's answer: what is written is read back, and what models get wrong is understood."""

import json

import pytest
from helpers import CORPUS
from hypothesis import given, settings
from hypothesis import strategies as st

from metaie_spacy.data.rows import read_rows
from metaie_spacy.teacher.reply.parse import SCHEMA, parse, read_answer, render

TEXT = 'Ada Lovelace, born 10 December 1815, worked with Charles Babbage, Mary Somerville and the BBC; it\'s "fine".'
ADA = [("person", "Ada Lovelace")]
ROW = {
    "text": "Ada met\nBob. Ada left.",
    "spans": [
        {"start": 0, "end": 3, "label": "person"},
        {"start": 4, "end": 11, "label": "what: happened"},
        {"start": 13, "end": 16, "label": "person"},
    ],
    "absent": ["drug", "time: of day"],
}


def write(value):
    return json.dumps(value, ensure_ascii=False)


def test_render_gives_each_surface_once():
    assert json.loads(render(ROW, "json")) == {
        "answers": [{"label": "person", "spans": ["Ada"]}, {"label": "what: happened", "spans": ["met\nBob"]}],
        "absent": ["drug", "time: of day"],
    }
    assert render(ROW, "lines") == "- person: Ada\n- what: happened: met Bob\n- drug: (none)\n- time: of day: (none)"
    with pytest.raises(ValueError, match="no answer form 'xml'"):
        render(ROW, "xml")


@pytest.mark.parametrize("form", ["json", "lines"])
def test_rendered_row_is_read_back(form):
    assert read_answer(render(ROW, form), ROW["text"]) == (ROW["spans"], ROW["absent"], [])
    assert read_answer(render({"text": "x", "spans": []}, form), "x") == ([], [], [])


@pytest.mark.parametrize("form", ["json", "lines"])
def test_corpus_is_read_back(form):
    total = found = extra = 0
    # An answer by its words alone names all mentions of them: in a row with links it is one that was asked about, and in a
    # row of a job one may have the role that was asked for and another not.
    for row in (row for row in read_rows(CORPUS) if not row.get("links")):
        gold = {(s["start"], s["end"], s["label"]) for s in row["spans"]}
        spans, absent, _ = read_answer(render(row, form), row["text"])
        got = {(s["start"], s["end"], s["label"]) for s in spans}
        assert absent == row["absent"] and (got == gold or row.get("job"))
        total, found, extra = total + len(gold), found + len(gold & got), extra + len(got - gold)
    assert total > 30_000 and found / total >= 0.999 and extra / total <= 0.01


def test_schema_is_strict():
    def objects(part):
        if isinstance(part, dict):
            yield from [part] if part.get("type") == "object" else []
            for value in part.values():
                yield from objects(value)

    found = list(objects(SCHEMA))
    assert len(found) == 2 and json.dumps(SCHEMA)
    assert all(part["additionalProperties"] is False and part["required"] == list(part["properties"]) for part in found)


@pytest.mark.parametrize(
    "answer",
    [
        '{"answers": [{"label": "person", "spans": ["Ada Lovelace"]}], "absent": ["drug"]}',
        'Here it is:\n```json\n{"answers": [{"label": "person", "spans": ["Ada Lovelace"]}], "absent": ["drug"]}\n```\nAnything else?',
        'The answer is {"answers": [{"label": "person", "spans": ["Ada Lovelace",],},], "absent": ["drug",],} as asked.',
        "{'answers': [{'label': 'person', 'spans': ['Ada Lovelace']}], 'absent': ['drug']}",
        "{“answers”: [{“label”: “person”, “spans”: [“Ada Lovelace”]}], “absent”: [“drug”]}",
        "{answers: [{label: 'person', spans: ['Ada Lovelace']}], absent: ['drug']}",
        '{"answers": {"person": ["Ada Lovelace"]}, "absent": "drug"}',
        '{"result": {"answers": [{"label": "person", "spans": "Ada Lovelace"}], "absent": ["drug"]}}',
        '{"person": "Ada Lovelace", "drug": []}',
        '{"person": ["Ada Lovelace"], "drug": null}',
        '{"person": ["Ada Lovelace"], "absent": ["drug"]}',
        '[{"label": "person", "span": "Ada Lovelace"}, {"label": "drug", "span": "none"}]',
        '[{"type": "person", "text": "Ada Lovelace"}, {"label": "drug", "spans": []}]',
        '{"entities": [{"label": "person", "answer": "Ada Lovelace"}, {"label": "drug", "answer": "N/A"}]}',
        '{"label": "person", "span": "Ada Lovelace"}\n{"label": "drug", "span": ""}',
        '[["person", "Ada Lovelace"], ["drug", null]]',
        "- person: Ada Lovelace\n- drug: (none)",
        "Here are the pairs:\n\n* **person**: Ada Lovelace\n* **drug:** none\n\nI hope that helps!",
        "1. person -> Ada Lovelace\n2. drug -> N/A",
        "• `person`: Ada Lovelace\n• drug: not mentioned",
        "person: Ada Lovelace\ndrug: -",
        "**Answers:**\n**person**:\n- Ada Lovelace\n\n**drug**:\n- none",
        "### person\n- Ada Lovelace\n\nAbsent:\n- drug",
        "<think>- city: BBC, perhaps</think>\n- person: Ada Lovelace\n- drug: (none)",
        '-person : Ada Lovelace\n-"drug" : null',
    ],
)
def test_one_answer_in_many_forms(answer):
    assert parse(answer, TEXT) == (ADA, ["drug"], [])


@pytest.mark.parametrize("cut", range(20, 105))
def test_what_stands_before_a_cut_is_kept(cut):
    answer = write(
        {
            "answers": [
                {"label": "person", "spans": ["Ada Lovelace", "Mary Somerville"]},
                {"label": "company", "spans": ["BBC"]},
            ]
        }
    )
    whole = [("person", "Ada Lovelace"), ("person", "Mary Somerville"), ("company", "BBC")]
    complete = [pair for pair in whole if f'"{pair[1]}"' in answer[:cut]]
    if not complete:
        with pytest.raises(ValueError, match="cut off before its first complete pair"):
            parse(answer[:cut], TEXT)
        return
    parsed = parse(answer[:cut], TEXT)
    assert parsed.pairs == complete
    assert all(item["why"] == "the answer is cut off here" for item in parsed.dropped)


def test_quotes_inside_of_broken_json():
    assert parse('{"quote": ["it\'s "fine""]}', TEXT).pairs == [("quote", 'it\'s "fine"')]
    assert parse("{'quote': ['it's \"fine\"']}", TEXT).pairs == [("quote", 'it\'s "fine"')]


def test_equal_names_in_an_object_are_both_kept():
    assert parse('{"person": "Ada Lovelace", "person": "Charles Babbage"}', TEXT).pairs == [
        *ADA,
        ("person", "Charles Babbage"),
    ]


def test_label_named_like_a_wrapper_keeps_its_spans():
    parsed = parse(
        '{"items": ["BBC"], "results": "Ada Lovelace", "entities": [{"label": "company", "text": "BBC"}]}', TEXT
    )
    assert parsed.pairs == [("items", "BBC"), ("results", "Ada Lovelace"), ("company", "BBC")]


def test_numbers_stay_as_written():
    assert parse('{"price": 5.20, "year": [2010]}', "It cost 5.20 in 2010.").pairs == [
        ("price", "5.20"),
        ("year", "2010"),
    ]


@pytest.mark.parametrize(
    "answer", ['{"answers": [], "absent": []}', "{}", "[]", "```json\n[]\n```", "(none)", "- none", "N/A"]
)
def test_explicitly_empty_answer_is_valid(answer):
    assert parse(answer, TEXT) == ([], [], [])


@pytest.mark.parametrize(
    "answer, message",
    [
        ("", "is empty"),
        (" \n", "is empty"),
        ("I'm sorry, I can't help with that.", "holds no JSON and no '- label: span' line: \"I'm sorry"),
        ("Sorry: I cannot do this.", "holds no JSON"),
        ("As an AI model I see [no] entities.", "holds no JSON"),
        ('{"error": "rate limit"}', "holds no JSON"),
        ('["Ada Lovelace"]', "holds no JSON"),
        ('{"answers": [', "cut off"),
        ("- " + "very " * 30 + "long: BBC", "longer than 20 words"),
        ("<think>- person: BBC", "is empty"),
        ('""', "holds no JSON"),
        ("“”", "holds no JSON"),
        ("' \"\" '", "holds no JSON"),
        ('{"a":' * 20, "cut off"),
    ],
)
def test_answer_without_use_is_refused(answer, message):
    with pytest.raises(ValueError, match=message):
        parse(answer, TEXT)


@pytest.mark.parametrize(
    "line, pairs",
    [
        ("- people: Ada Lovelace; Charles Babbage", ["Ada Lovelace", "Charles Babbage"]),
        ("- people: Ada Lovelace, Charles Babbage", ["Ada Lovelace", "Charles Babbage"]),
        ("- people: Ada Lovelace, Charles Babbage and BBC", ["Ada Lovelace", "Charles Babbage", "BBC"]),
        ('- people: ["Ada Lovelace", "Charles Babbage"]', ["Ada Lovelace", "Charles Babbage"]),
        ("- people: Ada Lovelace, born 10 December 1815", ["Ada Lovelace, born 10 December 1815"]),
        ("- people: Charles Babbage, Mary Somerville and the BBC", ["Charles Babbage, Mary Somerville and the BBC"]),
        ("- people: Ada Lovelace; Lord Byron", ["Ada Lovelace; Lord Byron"]),
    ],
)
def test_list_is_split_only_if_it_does_not_stand_in_the_text(line, pairs):
    assert parse(line, TEXT).pairs == [("people", span) for span in pairs]


@pytest.mark.parametrize(
    "text, line, pair",
    [
        ("I saw Alien: Covenant.", "- film: Alien: Covenant", ("film", "Alien: Covenant")),
        ("Ada works at the BBC.", "- relation: employer: BBC", ("relation: employer", "BBC")),
        ("Ada works at the BBC.", "- a -> b: BBC", ("a -> b", "BBC")),
        ("It opens at 5:30 daily.", "- opens: 5:30", ("opens", "5:30")),
        ("well done :)", "- emoticon: :)", ("emoticon", ":)")),
        ("The mass of S* is 4.", "- mass of S*: 4", ("mass of S*", "4")),
        ("None came.", "- who came: None", ("who came", "None")),
    ],
)
def test_label_ends_where_the_span_stands_in_the_text(text, line, pair):
    assert parse(line, text).pairs == [pair]


def test_colon_in_a_label_that_has_no_answer():
    assert parse("- time: of day: (none)", TEXT).absent == ["time: of day"]


def test_labels_are_cleaned_and_bounded():
    answer = {" job\n title ": ["BBC"], "": ["BBC"], "w " * 21: ["BBC"], "c" * 151: ["BBC"], "c" * 150: ["BBC"]}
    parsed = parse(write(answer), TEXT)
    assert [label for label, _ in parsed.pairs] == ["job title", "c" * 150]
    assert [item["why"].split(" than")[0] for item in parsed.dropped] == ["no label", "label longer", "label longer"]
    assert (
        parse('{"answers": [{"label": null, "spans": ["BBC"]}, {"label": "a", "spans": ["BBC"]}]}', TEXT).dropped[0][
            "why"
        ]
        == "no label"
    )


def test_answered_label_is_not_absent():
    parsed = parse(
        write({"answers": [{"label": "person", "spans": ["Ada Lovelace"]}], "absent": ["person", "drug", "drug"]}), TEXT
    )
    assert parsed == (ADA, ["drug"], [])


def test_read_answer_joins_what_both_steps_drop():
    answer = (
        '{"answers": [{"label": "person", "spans": ["Ada Lovelace", "Lord Byron"]}, {"label": "company", "spans": ["BB'
    )
    spans, absent, dropped = read_answer(answer, TEXT)
    assert spans == [{"start": 0, "end": 12, "label": "person"}] and absent == []
    assert [(item["label"], item["span"], item["why"]) for item in dropped] == [
        ("company", "BB", "the answer is cut off here"), ("person", "Lord Byron", "not in the text"),
    ]  # fmt: skip


def test_prose_beside_pairs_is_kept_as_dropped_not_lost():
    parsed = parse("- person: Ada Lovelace\n- nothing else here", TEXT)
    assert parsed.pairs == ADA and parsed.dropped == [{"label": "", "span": "nothing else here", "why": "no label"}]


def test_half_a_surrogate_pair_can_be_written():
    parsed = parse('{"person": ["Ada Lovelace", "\\ud83d"]}', TEXT)
    assert json.dumps(parsed, ensure_ascii=False).encode("utf8")


@settings(max_examples=300)
@given(st.text(alphabet="{}[]\",:'“”‘\\u12 \n-*•.>()=abn;…`", max_size=80), st.text(max_size=40))
def test_any_string_is_parsed_or_refused(answer, text):
    try:
        parsed = parse(answer, text)
    except ValueError:
        return
    assert all(label and len(label) <= 150 for label, _ in parsed.pairs)
    assert not {label for label, _ in parsed.pairs} & set(parsed.absent)


@pytest.mark.parametrize("part", ["[", '{"a":', "[\n", "- ", ": ", "person: ", ".", '"', "{'", "<think>", "```"])
def test_deep_nesting_and_long_runs_make_nothing_up(part):
    try:
        spans, absent, _ = read_answer(part * 1000, TEXT)
    except ValueError:
        return
    assert (spans, absent) == ([], [])
