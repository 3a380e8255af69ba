"""What was found, as plain data."""

import json
import sys

import numpy as np
import pytest
import spacy
from spacy.tokens import Span, SpanGroup

import metaie_spacy
from metaie_spacy.results import rows, to_dataframe
from metaie_spacy.spans import Answer, write_ents, write_group

NLP = spacy.blank("en")


@pytest.fixture
def doc():
    doc = NLP("Ada Lovelace met Charles Babbage in London.")
    found = [
        Answer("person", 0, 2, 0.9),
        Answer("first name", 0, 1, 0.8),
        Answer("person", 3, 5, 0.7),
        Answer("city", 6, 7, 0.6),
    ]
    write_group(doc, "metaie", found, ["person", "city", "first name"])
    write_ents(doc, found)
    return doc


def test_rows_are_plain_dicts_in_the_order_of_the_text(doc):
    found = metaie_spacy.rows(doc)
    assert [row["text"] for row in found] == ["Ada", "Ada Lovelace", "Charles Babbage", "London"]
    assert found[1] == {"start": 0, "end": 12, "text": "Ada Lovelace", "label": "person", "score": 0.9}
    assert json.loads(json.dumps(found)) == found


def test_rows_of_a_group_without_scores_have_none(doc):
    doc.spans["gold"] = SpanGroup(doc, name="gold", spans=[Span(doc, 0, 1, label="x")])
    assert rows(doc, "gold") == [{"start": 0, "end": 3, "text": "Ada", "label": "x", "score": None}]
    with pytest.raises(ValueError, match=r"no doc.spans\['sc'\], only \['gold', 'metaie'\]"):
        rows(doc, "sc")


def test_spans_and_entities_know_their_score(doc):
    assert [round(span._.metaie_score, 4) for span in doc.spans["metaie"]] == [0.8, 0.9, 0.7, 0.6]
    assert [round(ent._.metaie_score, 4) for ent in doc.ents] == [0.9, 0.7, 0.6]
    assert doc[0:3]._.metaie_score is None and Span(doc, 0, 2, label="other")._.metaie_score is None


def test_scores_are_found_in_steps_that_grow_with_the_logarithm(monkeypatch):
    doc = NLP.make_doc("a " * 4000)
    write_group(doc, "metaie", [Answer("x", i, i + 1, i / 4000) for i in range(4000)], ["x"])
    spans = list(doc.spans["metaie"])
    assert np.allclose([span._.metaie_score for span in spans[::400]], np.arange(10) / 10)


def test_a_data_frame_has_a_row_a_span(doc):
    pandas = pytest.importorskip("pandas")
    frame = to_dataframe([doc, NLP("Nothing."), doc][::2])
    assert list(frame.columns) == ["doc", "start", "end", "text", "label", "score"] and len(frame) == 8
    assert frame["doc"].tolist() == [0] * 4 + [1] * 4 and isinstance(frame, pandas.DataFrame)
    assert len(to_dataframe([])) == 0


def test_without_pandas_the_error_says_what_to_install(doc, monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(ImportError, match="pip install pandas"):
        to_dataframe([doc])
