"""Links on the command line: as tables, rows, triples, a graph and pictures. Their docs are linked by hand here."""

import csv
import io
import json
import xml.etree.ElementTree as ElementTree

import pytest
import spacy
from helpers import ASSETS
from spacy.tokens import SpanGroup

from metaie_spacy.cli import output
from metaie_spacy.cli.linked import Graph
from metaie_spacy.linking.found import found_in

TEXTS = [
    "Ada Lovelace joined Acme in London. Bo  Li left Acme & Sons <Ltd>.",
    "ADA LOVELACE works for Acme and is happy.",
    "Nothing happened.",
]
SCHEMA = {
    "labels": {"PERSON": "person", "ORG": "organization"},
    "links": {"works_for": {"head": "PERSON", "query": "employer", "tail": "ORG"}, "based_in": {"head": "works_for"}},
    "attributes": {"mood": {"head": "PERSON", "options": ["happy", "sad"]}},
    "records": {"person": {"anchor": "PERSON"}},
}
SPANS = {
    TEXTS[0]: [("Ada Lovelace", "PERSON"), ("Acme", "ORG"), ("Bo  Li", "PERSON"), ("Acme & Sons <Ltd>", "ORG")],
    TEXTS[1]: [("ADA LOVELACE", "PERSON"), ("Acme", "ORG")],
}
LINKS = {
    TEXTS[0]: [
        ("Ada Lovelace", "PERSON", "works_for", "Acme", "ORG", 0.9),
        ("Acme", "ORG", "based_in", "London", None, 0.7),
        ("Bo  Li", "PERSON", "left", "Acme & Sons <Ltd>", "ORG", 0.51236),
    ],
    TEXTS[1]: [("ADA LOVELACE", "PERSON", "works_for", "Acme", "ORG", 0.8)],
}
MOODS = {TEXTS[1]: [("ADA LOVELACE", "PERSON", "mood", "happy", 0.75)]}


def linked(doc):
    """The doc with spans, links and attributes as the component writes them."""

    def place(text):
        return doc.text.index(text), doc.text.index(text) + len(text)

    def span(text, label):
        return doc.char_span(*place(text), label=label)

    spans = [span(*one) for one in SPANS.get(doc.text, ())]
    links, answers = [], []
    for head, head_label, name, tail, tail_label, score in LINKS.get(doc.text, ()):
        group = "metaie" if tail_label else "metaie_answers"
        if not tail_label:
            answers.append(span(tail, name))
        links.append(["metaie", *place(head), head_label, name, group, *place(tail), tail_label or name, score])
    attrs = {
        "scores": [0.95] * len(spans),
        "asked": ["PERSON", "ORG"],
        "links": links,
        "attributes": [["metaie", *place(text), *rest] for text, *rest in MOODS.get(doc.text, ())],
        "asked_links": [["PERSON", "works_for"], ["works_for", "based_in"], ["PERSON", "mood"]],
        "records": [["person", "PERSON", ["works_for", "based_in", "mood"]]],
    }
    doc.spans["metaie"] = SpanGroup(doc, name="metaie", spans=spans, attrs=attrs)
    doc.spans["metaie_answers"] = SpanGroup(
        doc, name="metaie_answers", spans=answers, attrs={"scores": [0.7] * len(answers)}
    )
    return doc


@pytest.fixture(scope="module")
def docs():
    nlp = spacy.blank("en")
    return [linked(nlp(text)) for text in TEXTS]


@pytest.fixture
def extract(call, monkeypatch, tmp_path):
    """The command on the texts above, or on others, whose docs get their links from here."""
    schema = tmp_path / "schema.json"
    schema.write_text(json.dumps(SCHEMA), encoding="utf8")
    pipe_texts = output.pipe_texts
    monkeypatch.setattr(
        output, "pipe_texts", lambda *args: ((id, linked(doc), row) for id, doc, row in pipe_texts(*args))
    )

    def run(form, *args):
        source = tmp_path / "texts.jsonl"
        rows = [{"id": id, "text": text} for id, text in zip("abc", TEXTS)]
        source.write_text("\n".join(map(json.dumps, rows)), encoding="utf8")
        return call("extract", source, "--schema", schema, "--format", form, *args)

    return run


def test_a_row_has_its_links_between_spans_by_their_numbers(extract):
    result = extract("jsonl")
    rows = [json.loads(line) for line in result.out.splitlines()]
    assert result.code == 0 and [row["id"] for row in rows] == ["a", "b", "c"]
    texts = [span["text"] for span in rows[0]["spans"]]
    assert [(texts[link["head"]], link["label"], texts[link["tail"]], link["score"]) for link in rows[0]["links"]] == [
        ("Ada Lovelace", "works_for", "Acme", 0.9),
        ("Acme", "based_in", "London", 0.7),
        ("Bo  Li", "left", "Acme & Sons <Ltd>", 0.5124),
    ]
    assert rows[2]["spans"] == [] and rows[2]["links"] == []


def test_an_answer_that_is_no_span_of_a_label_is_marked(docs):
    found = found_in(docs[0], "metaie")
    assert found.spans[-1] == {
        "start": 28, "end": 34, "text": "London", "label": "based_in", "score": 0.7, "answer": True,
    }  # fmt: skip
    assert found.entities == found.spans[:-1] and not any("answer" in span for span in found.entities)


def test_a_span_has_the_options_chosen_for_it(docs):
    spans = found_in(docs[1], "metaie").spans
    assert [span.get("attributes") for span in spans] == [{"mood": {"option": "happy", "score": 0.75}}, None]


def test_a_text_without_links_has_rows_as_ever(call):
    result = call("extract", "Ada Lovelace lived in London.", "--labels", "person", "--format", "jsonl")
    row = json.loads(result.out)
    assert set(row) == {"text", "id", "spans"} and set(row["spans"][0]) == {"start", "end", "text", "label", "score"}


def test_a_table_has_links_below_the_spans_and_no_answer_twice(extract):
    first, second, third = extract("table").out.strip().split("\n\n\n")
    assert first.count("London") == 2  # in the text and in the link
    lines = [line.split("  ") for line in first.splitlines()]
    assert ["Acme", "based_in", "London", "0.70"] in [[cell.strip() for cell in line if cell.strip()] for line in lines]
    assert "ADA LOVELACE" in second and "mood" in second and third == "c: Nothing happened.\n(no spans)"


def test_csv_of_spans_leaves_out_answers_to_links(extract):
    rows = list(csv.DictReader(io.StringIO(extract("csv").out)))
    assert [row["text"] for row in rows] == [text for spans in SPANS.values() for text, _ in spans]


def test_triples_are_each_fact_once_with_its_number_best_score_and_texts(extract):
    result = extract("triples")
    assert list(csv.reader(io.StringIO(result.out))) == [
        ["head", "relation", "tail", "count", "score", "texts"],
        ["Ada Lovelace", "works_for", "Acme", "2", "0.9", "a;b"],
        ["Ada Lovelace", "mood", "happy", "1", "0.75", "b"],
        ["Acme", "based_in", "London", "1", "0.7", "a"],
        ["Bo Li", "left", "Acme & Sons <Ltd>", "1", "0.5124", "a"],
    ]


def test_ids_of_texts_can_be_told_apart_whatever_they_hold(docs):
    graph = Graph()
    for id, doc in zip(("a;1", 'b"2'), docs):
        graph.add(id, found_in(doc, "metaie"))
    (texts,) = [row[5] for row in csv.reader(graph.csv()) if row[3] == "2"]
    assert next(csv.reader([texts], delimiter=";")) == ["a;1", 'b"2']


def test_a_mention_is_named_as_it_is_written_most_often(docs):
    graph = Graph()
    for id, doc in enumerate((docs[0], docs[1], docs[1])):
        graph.add(str(id), found_in(doc, "metaie"))
    assert next(list(row) for row in csv.reader(graph.csv()) if row[1] == "works_for")[0] == "ADA LOVELACE"


def test_jsonld_is_a_graph_of_mentions_with_their_labels_and_links(extract):
    result = extract("jsonld")
    document = json.loads(result.out)
    nodes = {node["name"]: node for node in document["@graph"]}
    assert set(nodes) == {"Ada Lovelace", "Acme", "London", "Bo Li", "Acme & Sons <Ltd>"}
    ada, acme = nodes["Ada Lovelace"], nodes["Acme"]
    assert ada["@type"] == ["label:PERSON"] and ada["link:works_for"] == [{"@id": acme["@id"]}]
    assert ada["link:mood"] == ["happy"] and acme["link:based_in"] == [{"@id": nodes["London"]["@id"]}]
    assert {"name", "link", "label"} == set(document["@context"])
    assert "@type" not in nodes["London"]  # an answer has no label


@pytest.mark.parametrize("form", ["triples", "jsonld"])
def test_facts_need_a_schema_that_asks_for_some(call, form):
    result = call("extract", "Ada.", "--labels", "person", "--format", form)
    assert result.code == 1
    assert f"--format {form} writes links, and nothing asks for any. Give a --schema with links" in result.err


def test_a_page_draws_links_as_arcs_and_records_as_tables(extract, tmp_path):
    result = extract("html", "--output", tmp_path / "out.html")
    page = (tmp_path / "out.html").read_text(encoding="utf8")
    assert result.code == 0 and page.startswith("<!DOCTYPE html>") and page.count("<figure") == 3
    drawings = [part.split("</svg>")[0] + "</svg>" for part in page.split("<svg")[1:]]
    assert len(drawings) == 3  # two stretches of the first text, one of the second
    for drawing in drawings:
        ElementTree.fromstring(f"<svg{drawing}")
    assert "Acme &amp; Sons &lt;Ltd&gt;" in drawings[1] and "left" in drawings[1]
    tables = [part.split("</table>")[0] for part in page.split("<table")[1:]]
    assert len(tables) == 3 and "based_in" in tables[0] and "London" in tables[0] and "happy" in tables[2]
    assert "<Ltd>" not in page and extract("html").out.strip() == page.strip()


def test_records_do_not_repeat_what_hangs_on_what_in_a_ring(docs):
    # Everyone knows everyone: what was asked of a label is not told again behind each answer.
    nlp = spacy.blank("en")
    names = [f"Person{i}" for i in range(30)]
    doc = nlp(" ".join(names))
    spans = [doc[i : i + 1] for i in range(30)]
    for span in spans:
        span.label_ = "PERSON"
    places = [("metaie", span.start_char, span.end_char, "PERSON") for span in spans]
    links = [[*a, "knows", *b, 0.9] for a in places for b in places if a != b]
    attrs = {"links": links, "asked_links": [["PERSON", "knows"]], "records": [["person", "PERSON", ["knows"]]]}
    doc.spans["metaie"] = SpanGroup(doc, name="metaie", spans=spans, attrs=attrs)
    page = output.render_html(iter([("1", doc, {})]), "metaie")
    assert page.count("<table") == 30 and page.count("<tr>") == 30 * 30


@pytest.mark.parametrize("path", sorted((ASSETS / "schemas").glob("*.json")), ids=lambda path: path.stem)
def test_a_ready_schema_runs(call, path):
    result = call(
        "extract", "Ada Lovelace joined Acme.", "--schema", f"assets/schemas/{path.name}", "--format", "jsonl"
    )
    assert result.code == 0 and json.loads(result.out)["text"] == "Ada Lovelace joined Acme."
