"""Files as other tools and people write them: read as what they are, or refused with what is wrong and the cure."""

import json

import pytest
from foreign import load, rows_of, save, task, words_of

from metaie_spacy.convert.convert import convert
from metaie_spacy.data.known import known_of
from metaie_spacy.data.rows import places

OUTER = [
    "#\thttps://example.org/one\t[2012]",
    "1 Die O O", "2 Firma B-ORG O", "3 Bonn I-ORG B-LOC", "4 wächst O O", "",
    "# https://example.org/two",
    "1 Eva B-PER O", "2 lacht O O", "",
]  # fmt: skip


def tabs(lines):
    return "\n".join(line if line.startswith("#") else line.replace(" ", "\t") for line in lines) + "\n"


def refused(tmp_path, name, value, match, **options):
    with pytest.raises(ValueError, match=match):
        convert(save(tmp_path / name, value), tmp_path / "none.jsonl", to_format="rows", **options)
    assert not (tmp_path / "none.jsonl").exists()


def faults(tmp_path):
    return [entry["why"] for entry in load(tmp_path / "errors.jsonl")]


def test_columns_with_an_index_and_nested_tags_are_refused_with_the_columns_that_cure_it(tmp_path):
    cure = r"first one holds numbers.*1: '1 2 3', 2: 'Die Firma Bonn'.*--columns token=2,tag=3,nested=4"
    refused(tmp_path, "nested.tsv", tabs(OUTER), cure)
    rows, counts = rows_of(tmp_path, "nested.tsv", tabs(OUTER), columns="token=2,tag=3,nested=4")
    assert [row["text"] for row in rows] == ["Die Firma Bonn wächst", "Eva lacht"]
    assert words_of(rows[0]) == [("Firma Bonn", "ORG"), ("Bonn", "LOC")] and words_of(rows[1]) == [("Eva", "PER")]
    assert counts["spans"] == 3 and not counts["skipped"]


def test_a_second_column_of_tags_is_never_passed_over(tmp_path):
    lines = "Die O O\nFirma B-ORG O\nBonn I-ORG B-LOC\nin O B-LOC\n"
    refused(tmp_path, "nested.conll", lines, r"column 2 holds tags too.*--columns token=1,tag=2,nested=3")
    ((row,), _) = rows_of(tmp_path, "nested.conll", lines, columns="token=1, tag=3, nested=2")
    assert words_of(row) == [("Bonn", "LOC"), ("in", "LOC"), ("Firma Bonn", "ORG")]
    refused(
        tmp_path, "features.conll", "Ada B-PER PROPN\nflew O VERB\n", r"last one holds other things.*token=1,tag=2\)"
    )


@pytest.mark.parametrize(
    "columns", ["token=1", "tag=2", "token=0,tag=1", "token=1,tag=2,tag=3", "1,2", "token=1;tag=2", "token=a,tag=2", ""]
)
def test_columns_are_written_in_one_way(tmp_path, columns):
    refused(tmp_path, "a.conll", "Ada B-PER\n", "columns is", columns=columns)


def test_columns_that_a_file_has_not_are_refused(tmp_path):
    refused(tmp_path, "a.conll", "Ada B-PER\n", "have 2 columns", columns="token=1,tag=3")


@pytest.mark.parametrize("line", ["New York B-LOC", "New York B-LOC O", "York", ': " O'])
def test_a_ragged_line_costs_its_sentence_and_is_named(tmp_path, line):
    rows, counts = rows_of(tmp_path, "a.conll", f"Ada B-PER\nflew O\n\nto O\n{line}\n\nEve B-PER\n")
    assert [row["text"] for row in rows] == ["Ada flew", "Eve"] and counts["skipped"] == {"bad columns": 1}
    assert "line 5 has" in faults(tmp_path)[0] and line in faults(tmp_path)[0]
    refused(tmp_path, "b.conll", f"flew O\n{line}\nto O\n", "no usable row.*line 2 has")


def test_a_last_line_without_an_end_whose_label_is_no_others_may_be_cut(tmp_path):
    rows, counts = rows_of(tmp_path, "a.conll", "Ada B-PERSON\n\nBob B-PERSON\nEve B-PER")
    assert [row["text"] for row in rows] == ["Ada"] and counts["skipped"] == {"cut line": 1}
    rows, _ = rows_of(tmp_path, "a.conll", "Ada B-PERSON\n\nEve B-PERSON")
    assert len(rows) == 2


ADA = "Ada flew to Rome."


@pytest.mark.parametrize(
    "name, value, source, teacher",
    [
        ("a.json", [{"text": ADA, "entities": [[0, 3, "PER"]]}, {"text": "No.", "entities": []}], "entities", "unknown"),
        ("a.jsonl", [{"text": ADA, "entities": [{"start": 0, "end": 3, "label": "PER"}]}], "entities", "unknown"),
        ("a.json", [[ADA, {"entities": [[0, 3, "PER"]]}]], "entities", "unknown"),
        ("a.json", [{"id": 1, "text": ADA, "label": [[0, 3, "PER"]]}], "doccano", "human"),
        ("a.jsonl", [{"id": 1, "text": ADA, "labels": [[0, 3, "PER"]], "Comments": []}], "doccano", "human"),
        ("a.jsonl", [{"id": 1, "text": "No.", "label": []}, {"id": 2, "text": ADA, "label": [[0, 3, "PER"]]}], "doccano", "human"),
        (
            "a.jsonl",
            [{"text": ADA, "entities": [{"id": 1, "label": "PER", "start_offset": 0, "end_offset": 3}], "relations": []}],
            "doccano", "human",
        ),
        ("a.json", [{"tokenized_text": ADA.split(), "ner": [[0, 0, "PER"]]}], "gliner", "unknown"),
        ("a.jsonl", [{"input": ADA, "output": {"entities": {"PER": ["Ada"]}}}], "gliner2", "unknown"),
        ("a.jsonl", [{"text": ADA, "schema": {"entities": {"PER": ["Ada"]}}}], "gliner2", "unknown"),
        ("a.json", [{"text": ADA, "entities": {"PER": ["Ada"], "LOC": []}}], "gliner2", "unknown"),
        ("a.json", [{"tokens": ADA.split(), "ner_tags": ["B-PER", "O", "O", "O"]}], "hf", "unknown"),
        ("a.json", [{"text": ADA, "answer": "accept", "spans": [{"start": 0, "end": 3, "label": "PER"}]}], "prodigy", "human"),
        ("a.json", [task(ADA, [(0, 3, "Ada", "PER")])], "label-studio", "human"),
    ],
)  # fmt: skip
def test_a_format_is_told_by_what_records_hold(tmp_path, name, value, source, teacher):
    value = json.dumps(value) if name.endswith(".json") else value
    rows, _ = rows_of(tmp_path, name, value)
    (row,) = (row for row in rows if row["text"] == ADA)
    assert words_of(row) == [("Ada", "PER")] and (row["source"], row["teacher"]) == (source, teacher)


@pytest.mark.parametrize(
    "value, match",
    [
        ([{"sentence": "Ada", "entity": [[0, 3, "PER"]]}], r"keys \['sentence', 'entity'\].*pass from_format.*'doccano'"),
        ([{"text": "Ada"}], r"keys \['text'\].*pass from_format"),
        ([{"text": "Ada", "label": ["positive"]}], r"keys \['text', 'label'\]"),
        ([{"text": "Ada", "entities": ["Ada"]}], r"keys \['text', 'entities'\]"),
        ([{"id": 0, "paragraphs": [{"raw": "Ada"}]}], "spacy convert"),
        ([{"tokens": ["Ada"], "ner_tags": [1]}], r"tags as numbers \(1\).*--label-names"),
        ({"version": 2}, r"keys \['version'\]"),
        (["Ada", 3], "no JSON object"),
    ],
)  # fmt: skip
def test_json_that_shows_no_format_is_refused_with_the_keys_it_has(tmp_path, value, match):
    refused(tmp_path, "a.json", json.dumps(value), match)
    if isinstance(value, list):
        refused(tmp_path, "a.jsonl", value, match)


@pytest.mark.parametrize(
    "good, bad",
    [
        ({"text": ADA, "entities": [[0, 3, "PER"]]}, {"text": "Bob.", "entitys": [[0, 3, "PER"]]}),
        ({"text": ADA, "label": [[0, 3, "PER"]]}, {"text": "Bob.", "lable": [[0, 3, "PER"]]}),
        ({"text": ADA, "spans": [], "absent": ["PER"]}, {"text": "Bob.", "spans": [], "abssent": ["PER"]}),
        ({"text": ADA, "spans": []}, {"text": "Bob.", "span": [{"start": 0, "end": 3, "label": "PER"}]}),
        ({"text": ADA, "answer": "accept", "spans": []}, {"text": "Bob.", "answer": "accept", "marks": [{"start": 0, "end": 3}]}),
        ({"text": ADA, "answer": "accept", "spans": []}, {"text": "Bob.", "answr": "reject", "spans": []}),
        ({"tokenized_text": ["Ada"], "ner": []}, {"tokenized_text": ["Bob"], "ents": [[0, 0, "PER"]]}),
        ({"input": ADA, "output": {"entities": {}}}, {"input": "Bob.", "output": {"entitiez": {"PER": ["Bob"]}}}),
        ({"tokens": ["Ada"], "ner_tags": ["O"]}, {"tokens": ["Bob"], "tag": ["B-PER"]}),
        (task(ADA, []), {"data": {"text": "Bob."}, "annotatoins": [{"result": []}]}),
        (task(ADA, []), {"data": {"text": "Bob."}, "annotations": [{"results": []}]}),
        (task(ADA, []), {"id": 2, "text": "Bob.", "labelz": []}),
    ],
)  # fmt: skip
def test_a_record_with_a_misspelled_key_is_bad_and_never_one_without_spans(tmp_path, good, bad):
    rows, counts = rows_of(tmp_path, "a.json", json.dumps([good, bad]))
    assert len(rows) == 1 and counts["skipped"] == {"bad row": 1} and len(faults(tmp_path)) == 1


def test_numbers_of_tags_are_read_by_their_names(tmp_path):
    rows = [{"tokens": ["Ada", "has", "fever"], "ner_tags": [1, 0, 3], "text": "Ada  has fever"}]
    ((row,), _) = rows_of(tmp_path, "a.json", json.dumps(rows), label_names="O,B-PER,I-PER,B-SYM")
    assert row["text"] == "Ada  has fever" and words_of(row) == [("Ada", "PER"), ("fever", "SYM")]
    info = {"features": {"ner_tags": {"feature": {"names": ["O", "B-PER", "I-PER", "B-SYM"]}}}}
    names = str(save(tmp_path / "info.json", json.dumps(info)))
    rows[0]["ner_tags"][1] = -100
    ((row,), _) = rows_of(tmp_path, "a.json", json.dumps(rows), label_names=names)
    assert row["unsure"] == [{"start": 5, "end": 8}] and len(row["spans"]) == 2
    refused(tmp_path, "a.json", json.dumps(rows), "none of the 2 numbers", label_names="O,B-PER")
    refused(tmp_path, "a.json", json.dumps(rows), "no file", label_names="names.json")
    refused(tmp_path, "a.json", json.dumps(rows), "must be tags", label_names="O,PER")


def test_relations_of_doccano_become_links(tmp_path):
    entities = [
        {"id": n, "label": "X", "start_offset": s, "end_offset": e} for n, (s, e) in enumerate([(0, 3), (12, 16)])
    ]
    relations = [{"id": 1, "from_id": 0, "to_id": 1, "type": "flew to"}]
    rows = [{"id": 1, "text": ADA, "entities": entities, "relations": relations}]
    ((row,), counts) = rows_of(tmp_path, "a.jsonl", rows)
    assert row["links"] == [{"head": [0, 3], "label": "flew to", "tails": [[12, 16]]}] and counts["links"] == 1
    relations[0]["to_id"] = 9
    refused(tmp_path, "a.jsonl", rows, "no usable row .bad row: 1.*from_id")


def test_relations_of_label_studio_and_old_exports(tmp_path):
    export = task(ADA, [(0, 3, "Ada", "PER"), (12, 16, "Rome", "LOC")])
    result = export["annotations"][0]["result"]
    for n, item in enumerate(result):
        item["id"] = f"r{n}"
    for direction, labels in (("right", ["in"]), ("left", ["has"]), ("bi", ["near"]), ("right", [])):
        relation = {"type": "relation", "from_id": "r0", "to_id": "r1", "direction": direction, "labels": labels}
        result.append(relation)
    export["completions"] = export.pop("annotations")
    ((row,), counts) = rows_of(tmp_path, "a.json", json.dumps([export]))
    assert [(link["head"], link["label"], link["tails"]) for link in row["links"]] == [
        ([0, 3], "in", [[12, 16]]), ([12, 16], "has", [[0, 3]]), ([0, 3], "near", [[12, 16]]), ([12, 16], "near", [[0, 3]]),
    ]  # fmt: skip
    assert counts["spans_skipped"] == {"relation without label": 1} and row["teacher"] == "human"


def test_regions_of_whole_words_repeat_less_than_they_count(tmp_path):
    text = "😀 Some simple text here"
    ((row,), counts) = rows_of(tmp_path, "a.json", json.dumps([task(text, [(7, 18, "ple tex", "ORG")])]))
    assert words_of(row) == [("simple text", "ORG")] and not counts["skipped"]
    for words, end in (("ple tex", 17), ("ple", 18), ("", 18)):
        bad = json.dumps([task(text, [(7, end, words, "ORG")])])
        refused(tmp_path, "b.json", bad, "bad offsets")


def test_two_people_who_disagree_on_a_relation_leave_it_unsaid(tmp_path):
    export = task(ADA, *[[(0, 3, "Ada", "PER"), (12, 16, "Rome", "LOC")]] * 2)
    for annotation, labels in zip(export["annotations"], (["in", "near"], ["in"])):
        for n, item in enumerate(annotation["result"]):
            item["id"] = f"r{n}"
        annotation["result"] += [
            {"type": "relation", "from_id": "r0", "to_id": "r1", "labels": [label]} for label in labels
        ]
    ((row,), counts) = rows_of(tmp_path, "a.json", json.dumps([export]))
    assert row["links"] == [{"head": [0, 3], "label": "in", "tails": [[12, 16]]}]
    assert counts["spans_skipped"] == {"disputed link": 1} and len(places(row)) == 2
    ((row,), _) = rows_of(tmp_path, "a.json", json.dumps([export]), annotators="all")
    assert [link["label"] for link in row["links"]] == ["in", "near"]


def test_relations_of_prodigy_lie_between_spans_or_tokens(tmp_path):
    tokens = [
        {"text": w, "start": s, "end": s + len(w), "id": n}
        for n, (w, s) in enumerate([("Ada", 0), ("flew", 4), ("to", 9), ("Rome", 12)])
    ]
    tasks = [
        {
            "text": ADA,
            "tokens": tokens,
            "spans": [],
            "answer": "accept",
            "relations": [{"head": 0, "child": 3, "label": "in"}],
        }
    ]
    ((row,), _) = rows_of(tmp_path, "a.jsonl", tasks)
    assert row["links"] == [{"head": [0, 3], "label": "in", "tails": [[12, 16]]}]
    tasks[0]["relations"][0]["child"] = 4
    refused(tmp_path, "a.jsonl", tasks, "no token for its .child.")


def brat(tmp_path, ann, text="Ada flew to Rome\nand Oslo.", name="one"):
    folder = tmp_path / "folder"
    folder.mkdir(exist_ok=True)
    save(folder / f"{name}.txt", text)
    if ann is not None:
        save(folder / f"{name}.ann", ann)
    return folder


def test_brat_spans_relations_and_events(tmp_path):
    ann = (
        "T1\tPER 0 3\tAda\nT2\tLOC 12 16\tRome\nT3\tFlight 4 8\tflew\nT4\tLOC 12 16;21 25\tRome Oslo\n"
        "R1\tin Arg1:T1 Arg2:T2\t\nR2\tin Arg1:T1 Arg2:T4\nE1\tFlight:T3 Who:T1 Where2:T2\nR3\tbefore Arg1:E1 Arg2:T2\n"
        "A1\tNegated E1\nA2\tCertainty E1 high\nN1\tReference T1 Wikipedia:1\tAda\n#1\tAnnotatorNotes T1\tan aunt\n*\tEquiv T1 T2\n"
    )
    folder = brat(tmp_path, ann)
    brat(tmp_path, None, "Nobody looked.", "two")
    for source in (folder, folder / "one.ann"):
        counts = convert(source, tmp_path / "out.jsonl")
        (row,) = load(tmp_path / "out.jsonl")
        assert words_of(row) == [("Ada", "PER"), ("Rome", "LOC"), ("flew", "Flight")] and row["id"] == "one"
        assert row["unsure"] == [{"start": 12, "end": 25, "label": "LOC"}] and row["teacher"] == "human"
        assert [(link["head"], link["label"], link["tails"]) for link in row["links"]] == [
            ([0, 3], "in", [[12, 16]]), ([4, 8], "Who", [[0, 3]]), ([4, 8], "Where", [[12, 16]]), ([4, 8], "before", [[12, 16]]),
        ]  # fmt: skip
        lost = {"attribute": 2, "normalization": 1, "note": 1, "equivalence": 1, "discontinuous": 2}
        assert counts["spans_skipped"] == lost and counts["spans"] == 3
        assert counts["skipped"] == ({"not annotated": 1} if source == folder else {})


@pytest.mark.parametrize(
    "ann, match",
    [
        ("T1\tPER 0 5\tAda\n", "line 1: 'Ada f' stands there"),
        ("T1\tPER 0 3\tEve\n", "line 1: 'Ada' stands there, not 'Eve'"),
        ("T1\tPER 0 99\tAda\n", "line 1: 0:99 lies outside"),
        ("T1 PER 0 3 Ada\n", "line 1 is no annotation"),
        ("T1\tPER 0 3\tAda\nR1\tin Arg1:T1 Arg2:T7\n", "line 2 names T7"),
        ("T1\tPER 0 3\tAda\nR1\tin Arg1:T1 Arg2:T1", "line 2 has no end"),
    ],
)
def test_damage_in_brats_files_costs_the_text_and_is_named(tmp_path, ann, match):
    with pytest.raises(ValueError, match=match):
        convert(brat(tmp_path, ann), tmp_path / "out.jsonl")


def test_tables_with_a_span_on_each_line(tmp_path):
    table = 'id,note,start,end,label\n1,"Ada, again",0,3,PER\n1,"Ada, again",5,10,X\n2,None.,,,\n3,Bad.,0,x,PER\n3,Bad.,0,3,PER\n'
    rows, counts = rows_of(tmp_path, "a.csv", table, text_field="note")
    assert [(row["id"], words_of(row)) for row in rows] == [("1", [("Ada", "PER"), ("again", "X")]), ("2", [])]
    assert counts["skipped"] == {"bad row": 1} and "line 5" in faults(tmp_path)[0]
    refused(tmp_path, "a.csv", table, r"no column 'text', only \['id', 'note'.*--text-field")
    refused(tmp_path, "a.csv", "text,label\nAda,good\n", "texts without annotations")
    refused(tmp_path, "a.csv", "text,start,end,label,label\nAda,0,3,PER,X\n", "2 columns 'label'.*would be lost")
    refused(tmp_path, "a.csv", 'text,start,end,label\n"Ada,0,3,PER\n', "line 2.*quotes")


def test_a_table_with_a_short_or_cut_line_loses_no_span_in_silence(tmp_path):
    head = "text,start,end,label\nAda and Bob,0,3,PER\n"
    for rest in ("Ada and Bob,8,11\n", "Ada and Bob,8,11,PE", "Ada an"):
        refused(tmp_path, "a.csv", head + rest, "no usable row")


def test_words_of_gliner2_stand_wherever_the_text_has_them(tmp_path):
    output = {"entities": {"person": ["Ada"], "city": ["Rome", "Paris"], "drug": []}, "classifications": [{}]}
    relations = [{"in": {"head": "Bob", "tail": "Rome"}}, {"in": {"head": "Ada", "tail": "Rome"}}]
    rows = [{"input": "Ada, Bob in Rome, Ada's Adana.", "output": output | {"relations": relations}}]
    ((row,), counts) = rows_of(tmp_path, "a.jsonl", rows)
    assert [(place[:2]) for place in places(row)] == [(0, 3), (18, 21), (12, 16)] and row["absent"] == ["drug"]
    known = known_of(row)
    assert not known.decides((24, 29, "city")) and known.decides((12, 16, "city")) and known.decides((24, 29, "drug"))
    assert row["links"] == [{"head": [5, 8], "label": "in", "tails": [[12, 16]]}]
    assert counts["spans_skipped"] == {"classifications": 1, "not in text": 1, "relation without one place": 1}


@pytest.mark.parametrize(
    "name, text, match",
    [
        ("a.tsv", "#FORMAT=WebAnno TSV 3.3\n", "WebAnno TSV.*CoNLL 2002"),
        ("a.xmi", "<xmi/>", "UIMA CAS.*CoNLL 2002"),
        ("a.parquet", "PAR1", "Parquet.*to_json"),
    ],
)
def test_formats_that_are_known_and_not_read_are_refused_by_name(tmp_path, name, text, match):
    refused(tmp_path, name, text, match)


def test_a_folder_without_annotations_is_refused(tmp_path):
    (tmp_path / "folder").mkdir()
    with pytest.raises(ValueError, match="folder without .ann"):
        convert(tmp_path / "folder", tmp_path / "out.jsonl")
    with pytest.raises(ValueError, match="only brat's format"):
        convert(tmp_path / "folder", tmp_path / "out.jsonl", from_format="conll")


def test_labels_that_brat_cannot_tell_apart_are_an_error(tmp_path):
    row = {
        "id": "1",
        "text": "Ada",
        "absent": [],
        "spans": [{"start": 0, "end": 3, "label": label} for label in ("a b", "a_b")],
    }
    with pytest.raises(ValueError, match="'a_b' and 'a b' are one"):
        convert(save(tmp_path / "rows.jsonl", [row]), tmp_path / "folder", to_format="brat")
    assert not (tmp_path / "folder").exists()
    row["spans"].pop()
    convert(save(tmp_path / "rows.jsonl", [row]), tmp_path / "folder", to_format="brat")
    with pytest.raises(ValueError, match="is there already"):  # somebody may have annotated it
        convert(tmp_path / "rows.jsonl", tmp_path / "folder", to_format="brat")


def test_encodings_of_every_kind_of_file_are_declared(tmp_path):
    for name, text in (
        ("a.json", json.dumps([{"text": "Zoë", "entities": [[0, 3, "PER"]]}], ensure_ascii=False)),
        ("a.jsonl", json.dumps({"text": "Zoë", "entities": [[0, 3, "PER"]]}, ensure_ascii=False) + "\n"),
        ("a.csv", "text,start,end,label\nZoë,0,3,PER\n"),
        ("a.conll", "Zoë B-PER\n"),
    ):
        for encoding in ("cp1252", "utf-16"):
            ((row,), _) = rows_of(tmp_path, name, text.encode(encoding), encoding=encoding)
            assert words_of(row) == [("Zoë", "PER")]
        refused(tmp_path, name, text.encode("cp1252"), "not UTF-8|cannot be told")
