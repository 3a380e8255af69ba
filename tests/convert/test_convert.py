"""Data that users bring, and rows that go to human review and come back."""

import json
from xml.etree import ElementTree

import pytest
import spacy
from foreign import load, rows_of, save, task, words_of
from helpers import CORPUS
from spacy.tokens import Doc, DocBin, Span, SpanGroup

from metaie_spacy.convert.convert import convert
from metaie_spacy.data.rows import read_rows

FAMILY = "👩\u200d👩\u200d👧"
ROWS = [
    {
        "id": "news#0",
        "text": f"😀 Zoe\u0308 {FAMILY} flew from Łódź to São Paulo.\r\n\tShe’s 𝒜da's aunt ",
        "spans": [
            {"start": 2, "end": 6, "label": "person"},
            {"start": 23, "end": 27, "label": 'city "<&>"'},
            {"start": 31, "end": 40, "label": 'city "<&>"'},
            {"start": 31, "end": 34, "label": "part of a name"},
            {"start": 3, "end": 6, "label": "half a name"},
            {"start": 50, "end": 53, "label": "person"},
        ],
        "absent": ["drug", "stadium"],
        "source": "written/B",
        "teacher": "gpt-x",
        "kind": "open",
        "prompt_sha": "ab12",
        "dropped": [{"label": "drug", "span": "nope", "why": "not in the text"}],
        "usage": {"prompt_tokens": 12},
        "agreement": 0.75,
        "meta": {"start": 3, "url": "https://example.org/ü"},
    },
    {"id": "news#1", "text": "Nothing here.", "spans": [], "absent": ["person"], "teacher": "rules:a.jsonl"},
    {
        "id": "7",
        "text": "Ada",
        "spans": [{"start": 0, "end": 3, "label": "person", "score": 0.5}],
        "absent": [],
        "teacher": "model",
    },
]
CONLL = """-DOCSTART- -X- -X- O

Ada NNP B-NP B-PER
Lovelace NNP I-NP I-PER
visited VBD B-VP O
New NNP B-NP B-LOC
York NNP I-NP I-LOC
. . O O

Rome NNP B-NP I-LOC
Paris NNP B-NP B-LOC

-DOCSTART- -X- -X- O

Nothing NN B-NP O
"""


@pytest.mark.parametrize(
    "target, name", [("prodigy", "tasks.jsonl"), ("label-studio", "tasks.json"), ("rows", "copy.jsonl")]
)
def test_rows_return_from_review_tools_as_they_went(tmp_path, target, name):
    source, there, back = save(tmp_path / "rows.jsonl", ROWS), tmp_path / "new" / name, tmp_path / "back.jsonl"
    counts = convert(source, there, to_format=target)
    assert counts == {"read": 3, "written": 3, "skipped": {}, "spans": 7, "spans_skipped": {}}
    convert(there, back, to_format="rows")
    assert load(back) == ROWS
    again = tmp_path / name
    convert(back, again, to_format=target)
    assert again.read_bytes() == there.read_bytes()


def test_corpus_of_ours_returns_from_review_tools(tmp_path):
    rows = load(CORPUS)[:300]
    source = save(tmp_path / "rows.jsonl", rows)
    for name, target in (("a.jsonl", "prodigy"), ("b.json", "label-studio")):
        convert(source, tmp_path / name, to_format=target)
        convert(tmp_path / name, tmp_path / "back.jsonl", to_format="rows")
        assert load(tmp_path / "back.jsonl") == rows


def test_prodigy_tokens_build_the_text_and_align_with_every_span(tmp_path):
    convert(save(tmp_path / "rows.jsonl", ROWS), tmp_path / "tasks.jsonl", to_format="prodigy")
    for row, found in zip(ROWS, load(tmp_path / "tasks.jsonl")):
        tokens = found["tokens"]
        assert [token["id"] for token in tokens] == list(range(len(tokens)))
        assert "".join(token["text"] + " " * token["ws"] for token in tokens) == row["text"]
        assert all(row["text"][token["start"] : token["end"]] == token["text"] for token in tokens)
        assert found["meta"] == {"id": row["id"]}
        for span in found["spans"]:
            assert tokens[span["token_start"]]["start"] == span["start"]
            assert tokens[span["token_end"]]["end"] == span["end"]


def test_prodigy_tokens_are_spacys_where_no_span_asks_for_others(tmp_path):
    text = "Don't fly to  Rome, Ada!"
    convert(save(tmp_path / "rows.jsonl", [{**ROWS[1], "text": text}]), tmp_path / "tasks.jsonl", to_format="prodigy")
    (found,) = load(tmp_path / "tasks.jsonl")
    doc = spacy.blank("en")(text)
    assert [(token["text"], token["ws"]) for token in found["tokens"]] == [
        (token.text, bool(token.whitespace_)) for token in doc
    ]


def test_accepted_review_makes_the_row_the_humans(tmp_path):
    convert(save(tmp_path / "rows.jsonl", ROWS), tmp_path / "tasks.jsonl", to_format="prodigy")
    first, second, third = load(tmp_path / "tasks.jsonl")
    first["spans"] = [{**first["spans"][0], "label": "drug", "input_hash": 7, "score": 0.9}]
    reviewed = [
        first | {"answer": "accept", "_input_hash": 1},
        second | {"answer": "reject"},
        third | {"answer": "ignore"},
    ]
    (row,), counts = rows_of(tmp_path, "reviewed.jsonl", reviewed)
    assert counts["skipped"] == {"reject": 1, "ignore": 1}
    assert row["id"] == "news#0" and row["teacher"] == "human" and row["meta"] == ROWS[0]["meta"]
    assert row["spans"] == [{"start": 2, "end": 6, "label": "drug"}]
    assert row["absent"] == ["person", 'city "<&>"', "part of a name", "half a name", "stadium"]
    assert not row.keys() & {"agreement", "usage", "prompt_sha", "dropped"}
    assert load(tmp_path / "errors.jsonl") == []


def test_prodigy_data_of_others(tmp_path):
    tasks = [
        {
            "text": "Ada flew.", "meta": {"id": 5, "by": "x"}, "answer": "accept",
            "spans": [{"start": 0, "end": 3, "label": "PER", "token_start": 0, "token_end": 0}],
        },
        {"text": "Nobody.", "answer": "accept"},
        {"text": "Odd.", "answer": "perhaps"},
    ]  # fmt: skip
    rows, counts = rows_of(tmp_path, "tasks.jsonl", tasks)
    assert rows[0] == {
        "id": "5", "text": "Ada flew.", "spans": [{"start": 0, "end": 3, "label": "PER"}], "absent": [],
        "source": "prodigy", "teacher": "human", "kind": "entity", "meta": {"by": "x"},
    }  # fmt: skip
    assert len(rows[1]["id"]) == 12 and counts["skipped"] == {"bad row": 1}
    rows, _ = rows_of(tmp_path, "tasks.jsonl", tasks, teacher="Kim", closed=True)
    assert rows[0]["teacher"] == "Kim" and rows[1]["absent"] == ["PER"]


def test_annotators_of_label_studio_share_a_row(tmp_path):
    one, two = [(0, 3, "Ada", "PER")], [(0, 3, "Ada", "PER"), (12, 16, "Rome", "LOC", "CITY")]
    tasks = [
        task("Ada flew to Rome.", one, two, []),
        task("Only one did this: Ada.", [(19, 22, "Ada", "PER")], id=42),
        task("Skipped.", [], id=43),
        {"id": 44, "data": {"text": "Never seen."}, "annotations": [], "predictions": []},
    ]
    tasks[0]["annotations"][1]["completed_by"] = {"id": 9, "email": "kim@example.org"}
    tasks[0]["annotations"][2]["was_cancelled"] = True
    tasks[2]["annotations"][0]["was_cancelled"] = True
    rows, counts = rows_of(tmp_path, "export.json", json.dumps(tasks))
    assert [(row["id"], row["teacher"]) for row in rows] == [("41", "human"), ("42", "human")]
    assert words_of(rows[0]) == [("Ada", "PER")] and rows[0]["asked"] == ["PER", "LOC", "CITY"]
    assert rows[0]["unsure"] == [{"start": 12, "end": 16, "label": label} for label in ("CITY", "LOC")]
    assert rows[0]["source"] == "label-studio" and rows[0]["kind"] == "entity"
    assert counts["skipped"] == {"cancelled": 2, "not annotated": 1}
    assert "example.org" not in (tmp_path / "out.jsonl").read_text()


def test_review_in_label_studio_makes_the_row_the_humans(tmp_path):
    convert(save(tmp_path / "rows.jsonl", ROWS), tmp_path / "tasks.json")
    tasks = json.loads((tmp_path / "tasks.json").read_text(encoding="utf8"))
    for number, found in enumerate(tasks):
        result = found["predictions"][0]["result"]
        found |= {"id": number, "annotations": [{"completed_by": 1, "result": result[1:]}]}
    rows, _ = rows_of(tmp_path, "reviewed.json", json.dumps(tasks))
    assert [row["id"] for row in rows] == ["news#0", "news#1", "7"]
    assert {row["teacher"] for row in rows} == {"human"}
    assert rows[0]["spans"] == ROWS[0]["spans"][1:] and rows[0]["absent"] == ["drug", "stadium"]
    assert rows[2]["spans"] == [] and rows[2]["absent"] == ["person"]


def test_label_studio_offsets_in_utf16_are_corrected(tmp_path):
    text = f"😀😀 aaaa {FAMILY} Ada 𝒜da"
    places = [("aaaa", "L"), ("Ada", "PER"), ("𝒜da", "PER")]

    def regions(measure, repeat=True):
        starts = [(text.index(word), word, label) for word, label in places]
        return [
            (measure(text[:at]), measure(text[:at] + word), word if repeat else None, label)
            for at, word, label in starts
        ]

    def utf16(part):
        return len(part.encode("utf-16-le")) // 2

    for measure in (len, utf16):
        ((row,), counts) = rows_of(tmp_path, "export.json", json.dumps([task(text, regions(measure))]))
        assert words_of(row) == places and counts["skipped"] == {}
    wordless = regions(utf16)[1:] + [regions(utf16, repeat=False)[0]]  # what the others say holds for it too
    ((row,), _) = rows_of(tmp_path, "export.json", json.dumps([task(text, wordless)]))
    assert words_of(row) == places[1:] + places[:1]
    mixed = regions(len)[:2] + regions(utf16)[2:]  # a proposal of ours that stayed beside a region that was added
    ((row,), _) = rows_of(tmp_path, "export.json", json.dumps([task(text, mixed)]))
    assert words_of(row) == places
    with pytest.raises(ValueError, match="task 1: the region 3:6 is .* not 'Ada'"):
        rows_of(tmp_path, "export.json", json.dumps([task(text, [(3, 6, "Ada", "PER")])]))


def test_label_studio_words_may_differ_in_white_space(tmp_path):
    text = "Ada\r\nLovelace and  Bob"
    result = [(0, 13, "Ada\\n\\nLovelace", "PER"), (14, 22, "and Bob", "X")]
    ((row,), _) = rows_of(tmp_path, "export.json", json.dumps([task(text, result)]))
    assert words_of(row) == [("Ada\r\nLovelace", "PER"), ("and  Bob", "X")]


def test_label_studio_json_min(tmp_path):
    tasks = [
        {
            "id": 3,
            "text": "Ada flew.",
            "label": [{"start": 0, "end": 3, "text": "Ada", "labels": ["PER"]}],
            "annotator": 1,
            "by": "x",
        },
        {"id": 3, "text": "Ada flew.", "annotator": 2, "created_at": "y"},
        {
            "id": 4,
            "text": "In Rome",
            "ner": [{"start": 3, "end": 7, "text": "Rome", "labels": ["LOC"]}],
            "sentiment": "good",
        },
        {"id": 5, "text": "In Rome", "label": [{"start": 3, "text": "Rome", "labels": ["LOC"]}]},
    ]
    rows, counts = rows_of(tmp_path, "min.json", json.dumps(tasks))
    assert [(row["id"], row["teacher"], words_of(row)) for row in rows] == [
        ("3", "human", []), ("4", "human", [("Rome", "LOC")]),
    ]  # fmt: skip
    assert rows[0]["unsure"] == [{"start": 0, "end": 3, "label": "PER"}]
    assert counts["skipped"] == {"bad row": 1}


@pytest.mark.parametrize(
    "bad",
    [
        {
            "type": "hypertextlabels",
            "value": {"start": "/p[1]/text()[1]", "startOffset": 2, "hypertextlabels": ["PER"]},
        },
        {"type": "paragraphlabels", "value": {"start": 0, "end": 1, "startOffset": 2, "paragraphlabels": ["PER"]}},
        {"type": "labels", "value": {"start": "/p[1]/text()[1]", "end": "/p[1]/text()[1]", "labels": ["PER"]}},
    ],
)
def test_label_studio_html_is_refused(tmp_path, bad):
    export = [task("<p>Ada</p>") | {"annotations": [{"result": [bad]}]}]
    with pytest.raises(ValueError, match="task 1: a region of HTML"):
        rows_of(tmp_path, "export.json", json.dumps(export))
    short = [{"id": 1, "text": "<p>Ada</p>", "ner": [bad["value"]]}]
    with pytest.raises(ValueError, match="task 1: a region of HTML"):
        rows_of(tmp_path, "export.json", json.dumps(short))
    assert not (tmp_path / "out.jsonl").exists()


def test_other_regions_of_label_studio_are_counted(tmp_path):
    export = task("Ada flew.", [(0, 3, "Ada", "PER")])
    export["annotations"][0]["result"] += [
        {"type": "choices", "value": {"choices": ["good"]}},
        {"type": "textarea", "value": {"text": ["x"]}},
    ]
    ((row,), counts) = rows_of(tmp_path, "export.json", json.dumps([export]))
    assert words_of(row) == [("Ada", "PER")] and counts["spans_skipped"] == {"no labelled text": 2}


def test_labeling_config_names_every_label_and_scores_go_along(tmp_path):
    scored = {"start": 0, "end": 3, "label": "a\nb ü", "score": 0.25}
    rows = [*ROWS, {"id": "8", "text": "Ada", "spans": [scored], "absent": [], "teacher": "m"}]
    convert(save(tmp_path / "rows.jsonl", rows), tmp_path / "tasks.json")
    tasks = json.loads((tmp_path / "tasks.json").read_text(encoding="utf8"))
    config = ElementTree.parse(tmp_path / "tasks.json.xml").getroot()
    labels = [label.get("value") for label in config.iter("Label")]
    assert labels == sorted({"person", 'city "<&>"', "part of a name", "half a name", "drug", "stadium", "a\nb ü"})
    names = config.find("Labels").get("name"), config.find("Text").get("name"), config.find("Text").get("value")
    assert names == ("label", "text", "$text")
    for row, found in zip(rows, tasks):
        (prediction,) = found["predictions"]
        assert found["data"]["text"] == row["text"] and found["data"]["meta"]["absent"] == row["absent"]
        assert [item["value"]["text"] for item in prediction["result"]] == [word for word, _ in words_of(row)]
        assert {(item["from_name"], item["to_name"], item["type"]) for item in prediction["result"]} <= {
            ("label", "text", "labels")
        }
    assert tasks[3]["predictions"][0]["score"] == tasks[3]["predictions"][0]["result"][0]["score"] == 0.25
    with pytest.raises(ValueError, match="control character"):
        convert(save(tmp_path / "rows.jsonl", [{**ROWS[1], "absent": ["a\x00b"]}]), tmp_path / "new.json")
    assert not list(tmp_path.glob("new.json*"))


def test_conll_sentences_are_passages_of_their_document(tmp_path):
    rows, counts = rows_of(tmp_path, "train.conll", CONLL)
    assert [row["text"] for row in rows] == ["Ada Lovelace visited New York .", "Rome Paris", "Nothing"]
    assert words_of(rows[0]) == [("Ada Lovelace", "PER"), ("New York", "LOC")]
    assert words_of(rows[1]) == [("Rome", "LOC"), ("Paris", "LOC")]  # the B tells them apart
    assert [row["absent"] for row in rows] == [[], ["PER"], ["LOC", "PER"]]
    (first, one), (second, two), (third, three) = (row["id"].split("#") for row in rows)
    assert first == second != third and (one, two, three) == ("0", "1", "0")
    assert (
        {row["kind"] for row in rows} == {"entity"}
        and {row["source"] for row in rows} == {"conll"}
        and counts["spans"] == 4
    )
    rows, _ = rows_of(tmp_path, "train.conll", CONLL, closed=False)
    assert all(row["absent"] == [] for row in rows)


@pytest.mark.parametrize("last, unit", [("L", "U"), ("E", "S"), ("I", "B")])
def test_tagging_schemes_say_the_same(tmp_path, last, unit):
    lines = [
        "# a comment",
        "#\tO",
        "New\tB-GPE",
        "York\tI-GPE",
        f"City\t{last}-GPE",
        f"Rome\t{unit}-GPE",
        f"Ada\t{unit}-PER",
        ".\tO",
    ]
    ((row,), _) = rows_of(tmp_path, "train.tsv", "\ufeff" + "\r\n".join(lines))
    assert row["text"] == "# New York City Rome Ada ."
    assert words_of(row) == [("New York City", "GPE"), ("Rome", "GPE"), ("Ada", "PER")]
    assert "#" not in row["id"]


def test_iob_lines_of_token_and_tag(tmp_path):
    rows, _ = rows_of(tmp_path, "train.iob", "I|O like|O New|B-GPE York|I-GPE\nAda|NNP|B-PER\n")
    assert [words_of(row) for row in rows] == [[("New York", "GPE")], [("Ada", "PER")]]


def test_malformed_tags_cost_their_sentence_and_are_named(tmp_path, caplog):
    text = b"Ada B-PER\n\nBob PER\nand O\nEve B-\n\nalone\n\nZ\xffrich B-LOC\n\nRome B-LOC\n"
    rows, counts = rows_of(tmp_path, "train.bio", text)
    assert [row["text"] for row in rows] == ["Ada", "Rome"]
    assert counts["skipped"] == {"malformed tag": 1, "bad columns": 1, "not UTF-8": 1}
    why = [entry["why"] for entry in load(tmp_path / "errors.jsonl")]
    assert "train.bio" in why[0] and "line 3 'PER' (column 2), line 5 'B-' (column 2)" in why[0]
    assert "line 7 has no token with a tag" in why[1] and "line 9 is not UTF-8" in why[2]
    assert "line 3 'PER'" in caplog.text


def docbin(path, *docs):
    DocBin(docs=docs, store_user_data=True).to_disk(path)
    return path


def docs_with_ents():
    nlp = spacy.blank("en")
    one, two, three = nlp("Ada flew to Rome 😀."), nlp("Nobody."), nlp("Never annotated.")
    one.ents, two.ents = [Span(one, 0, 1, "PER"), Span(one, 3, 4, "LOC")], []
    return one, two, three


def test_ents_of_a_docbin(tmp_path):
    source = docbin(tmp_path / "train.spacy", *docs_with_ents())
    counts = convert(source, tmp_path / "out.jsonl")
    one, two = read_rows(tmp_path / "out.jsonl")
    assert (
        words_of(one) == [("Ada", "PER"), ("Rome", "LOC")] and one["teacher"] == "unknown" and one["source"] == "spacy"
    )
    assert two["spans"] == [] and two["absent"] == ["LOC", "PER"]
    assert counts["skipped"] == {"not annotated": 1}  # for spaCy its entities are missing, not none


def test_span_group_of_a_docbin_is_found_or_must_be_chosen(tmp_path):
    one, two, three = docs_with_ents()
    for doc in (one, two, three):
        doc.ents = []
        doc.spans["sc"], doc.spans["empty"] = [], []
    one.spans["sc"] = [Span(one, 0, 4, "A"), Span(one, 2, 4, "A"), Span(one, 2, 4, "B")]
    counts = convert(docbin(tmp_path / "a.spacy", one, two, three), tmp_path / "out.jsonl")
    assert [words_of(row) for row in read_rows(tmp_path / "out.jsonl")] == [
        [("Ada flew to Rome", "A"), ("to Rome", "B")],
        [],
        [],
    ]
    assert counts["spans_skipped"] == {"overlap": 1} and counts["spans"] == 2
    two.ents = [Span(two, 0, 1, "PER")]
    source = docbin(tmp_path / "b.spacy", one, two, three)
    with pytest.raises(ValueError, match=r"\['ents', 'sc'\].*spans_key"):
        convert(source, tmp_path / "out.jsonl")
    convert(source, tmp_path / "out.jsonl", spans_key="ents")
    assert [words_of(row) for row in read_rows(tmp_path / "out.jsonl")] == [[], [("Nobody", "PER")], []]
    with pytest.raises(ValueError, match="'typo'.*'sc'"):
        convert(source, tmp_path / "out.jsonl", spans_key="typo")


def test_predictions_in_a_docbin_are_the_models_and_say_what_was_asked(tmp_path):
    doc, other = spacy.blank("en")("Ada flew to Rome."), spacy.blank("en")("No.")
    attrs = {"scores": [0.75], "asked": ["person", "drug"]}
    doc.spans["metaie"] = SpanGroup(doc, name="metaie", spans=[Span(doc, 0, 1, "person")], attrs=attrs)
    other.spans["metaie"] = SpanGroup(other, name="metaie", attrs={"scores": [], "asked": []})
    convert(docbin(tmp_path / "found.spacy", doc, other), tmp_path / "out.jsonl")
    one, two = read_rows(tmp_path / "out.jsonl")
    assert one["spans"] == [{"start": 0, "end": 3, "label": "person", "score": 0.75}]
    assert one["teacher"] == "model" and one["absent"] == ["drug"] and two["absent"] == []


def test_rows_become_docs_for_spacy(tmp_path):
    source = save(tmp_path / "rows.jsonl", ROWS)
    counts = convert(source, tmp_path / "train.spacy")
    docs: list[Doc] = list(DocBin().from_disk(tmp_path / "train.spacy").get_docs(spacy.blank("en").vocab))
    assert [doc.text for doc in docs] == [row["text"] for row in ROWS]
    assert counts["spans_skipped"] == {"misaligned": 1} and counts["spans"] == 6
    found = [(span.start_char, span.end_char, span.label_) for span in docs[0].spans["metaie"]]
    assert (31, 40, 'city "<&>"') in found and len(found) == 5
    attrs = docs[0].spans["metaie"].attrs
    assert "half a name" in attrs["asked"] and list(map(list, attrs["unsure"])) == [[3, 6, "half a name"]]
    convert(tmp_path / "train.spacy", tmp_path / "back.jsonl")
    back = load(tmp_path / "back.jsonl")
    assert back[1:] == ROWS[1:]
    left = [span for span in ROWS[0]["spans"] if span["label"] != "half a name"]
    assert back[0] == {**ROWS[0], "spans": left, "unsure": [{"start": 3, "end": 6, "label": "half a name"}]}
    convert(source, tmp_path / "again.spacy")
    assert (tmp_path / "again.spacy").read_bytes() == (tmp_path / "train.spacy").read_bytes()


def test_rows_become_entities_for_spacy(tmp_path):
    counts = convert(save(tmp_path / "rows.jsonl", ROWS), tmp_path / "train.spacy", spans_key="ents")
    doc = next(DocBin().from_disk(tmp_path / "train.spacy").get_docs(spacy.blank("en").vocab))
    assert "São Paulo" in [ent.text for ent in doc.ents] and "São" not in [ent.text for ent in doc.ents]
    assert counts["spans_skipped"] == {"misaligned": 1, "overlap": 1}


def test_longest_of_overlapping_spans_wins_and_order_stays(tmp_path):
    places = [(4, 9, "b"), (0, 3, "a"), (0, 9, "a"), (0, 9, "a"), (4, 6, "b")]
    row = {**ROWS[1], "spans": [{"start": start, "end": end, "label": label} for start, end, label in places]}
    ((found,), counts) = rows_of(tmp_path, "rows.jsonl", [row], from_format="rows")
    assert [(s["start"], s["end"], s["label"]) for s in found["spans"]] == [(4, 9, "b"), (0, 9, "a")]
    assert counts["spans_skipped"] == {"overlap": 3}


def test_bad_rows_are_skipped_counted_and_kept(tmp_path, caplog):
    lines = [
        json.dumps(ROWS[1]).encode(),
        b'{"text": "cut',
        b'{"id": "1", "text": "Z\xffrich", "spans": []}',
        b'{"id": "2", "text": "Rome", "spans": [{"start": 2, "end": 9, "label": "city"}]}',
        b'{"id": "3", "spans": []}',
        b'{"id": "4", "text": "\\ud83d", "spans": []}',
        b"[1]",
        b"",
        b'{"text": "No id.", "spans": []}',
    ]
    rows, counts = rows_of(tmp_path, "rows.jsonl", b"\n".join(lines), from_format="rows", teacher="Kim")
    assert [row["text"] for row in rows] == ["Nothing here.", "No id."] and {row["teacher"] for row in rows} == {"Kim"}
    assert counts["skipped"] == {"not JSON": 1, "not UTF-8": 1, "half a character": 1, "bad row": 3}
    kept = load(tmp_path / "errors.jsonl")
    assert [entry["why"].split(": ")[0] for entry in kept] == [
        f"{tmp_path / 'rows.jsonl'}, line {n}" for n in range(2, 8)
    ]
    assert "2:9" in kept[2]["why"] and kept[1]["record"] == '{"id": "1", "text": "Z\\xffrich", "spans": []}'
    assert "of 8 rows, left out" in caplog.text


@pytest.mark.parametrize(
    "name, data, message",
    [
        ("a.jsonl", b'{"text": "a", "spans": 1}\n', "line 1: \"spans\" must be a list"),
        ("a.conll", b"", "no usable row .it is empty"),
        ("a.conll", "Ada B-PER\n".encode("utf-16-le"), "line 1: .*NUL bytes.*--encoding utf-16-le"),
        ("a.jsonl", b'{"text": "a", "answer": "reject"}\n', "no usable row .reject: 1"),
        ("a.json", b"[]", "no JSON object.*pass from_format"),
        ("a.json", b'[{"data": {"text": "a"}', "not JSON .*line 1"),
        ("a.json", b'["\xfc"]', "not UTF-8 .*byte 2"),
        ("a.json", b"{}", r"the keys \[\]"),
        ("a.json", b'[1, {"data": 3}, {"data": {"a": "x", "b": "y"}, "annotations": [{}]}]', "no usable row .bad row: 3"),
        ("a.json", b'[{"data": {"text": "a"}, "annotations": 7, "predictions": [3]}]', "no usable row .bad row: 1"),
        ("a.spacy", b"no docs", "no .spacy file"),
        ("a.jsonl", b'{"text": "a"}\n', "pass from_format"),
        ("a.csv", b"a,b", "no column 'text', only"),
    ],
)  # fmt: skip
def test_unusable_file_is_an_error_and_leaves_no_output(tmp_path, name, data, message):
    with pytest.raises(ValueError, match=message):
        convert(save(tmp_path / name, data), tmp_path / "out.jsonl", to_format="rows", errors=tmp_path / "errors.jsonl")
    assert not {path.name for path in tmp_path.iterdir()} - {name, "errors.jsonl"}


def test_unusable_options_are_named(tmp_path):
    source = save(tmp_path / "rows.jsonl", ROWS)
    for output, options, message in [
        ("out.jsonl", {}, "pass to_format"),
        ("out.conll", {}, "pass to_format"),
        ("out.spacy", {"from_format": "xml"}, "from_format is 'xml'"),
        ("out.spacy", {"to_format": "conll"}, "to_format is 'conll'"),
        ("out.spacy", {"lang": "qqq"}, "lang = 'qqq'"),
        ("rows.jsonl", {"to_format": "rows"}, "would replace"),
    ]:
        with pytest.raises(ValueError, match=message):
            convert(source, tmp_path / output, **options)
    with pytest.raises(ValueError, match="no file"):
        convert(tmp_path / "none.jsonl", tmp_path / "out.spacy")
    assert [path.name for path in tmp_path.iterdir()] == ["rows.jsonl"]


def test_review_that_breaks_what_was_kept_is_skipped(tmp_path):
    good = {"text": "Ada", "spans": [{"start": 0, "end": 3, "label": "x"}], "answer": "accept"}
    bad = [
        good | {"metaie": {"id": "1", "asked": [3]}},
        good | {"metaie": {"id": "1", "asked": ["x"]}, "spans": [{"start": 0, "end": 3, "label": ["x"]}]},
        good | {"spans": [7]},
        good | {"spans": "none"},
    ]
    rows, counts = rows_of(tmp_path, "tasks.jsonl", [good | {"metaie": 5}, *bad])
    assert words_of(rows[0]) == [("Ada", "x")] and counts["skipped"] == {"bad row": 4}
