"""spaCy's own files where annotation rows are taken."""

import pytest
import spacy
from helpers import TRAIN, annotated, row
from spacy.tokens import DocBin

from metaie_spacy.convert.annotations import read_annotations
from metaie_spacy.data.rows import places
from metaie_spacy.fewshot import Settings, adapt_and_score
from metaie_spacy.measure.evaluate import evaluate

NLP = spacy.blank("en")
LABELS = {label for _, spans in TRAIN for _, label in spans}
FAST = Settings(steps=3, rehearsal=0.0)


@pytest.fixture
def docbin(tmp_path):
    docs = [annotated(NLP, text, spans, key="sc").reference for text, spans in TRAIN]
    docs.append(NLP.make_doc("Never annotated."))
    DocBin(docs=docs).to_disk(tmp_path / "train.spacy")
    return tmp_path / "train.spacy"


def test_docs_are_rows_of_a_closed_set_and_those_never_annotated_are_left_out(docbin, caplog):
    rows = read_annotations(docbin)
    assert [places(r) for r in rows] == [places(row(text, spans)) for text, spans in TRAIN]
    assert all({s["label"] for s in r["spans"]} | set(r["absent"]) == LABELS for r in rows)
    assert "left out: {'not annotated': 1}" in caplog.text


def test_training_and_scoring_take_such_a_file(docbin, make_nlp):
    nlp = make_nlp()
    result = adapt_and_score(nlp, docbin, settings=FAST, progress=False)
    assert result["examples"] == len(TRAIN) and set(nlp.get_pipe("metaie").labels) == LABELS
    assert evaluate(nlp, docbin)["texts"] == len(TRAIN)
    assert evaluate(nlp, docbin, spans_key="sc")["spans"] == sum(len(spans) for _, spans in TRAIN)
    with pytest.raises(ValueError, match="No doc .* is annotated under 'ents'"):
        evaluate(nlp, docbin, spans_key="ents")


def test_what_such_a_file_cannot_do_is_said(docbin, tmp_path):
    with pytest.raises(ValueError, match="have no ids to choose by"):
        read_annotations(docbin, only=docbin)
    with pytest.raises(ValueError, match="There is no file"):
        read_annotations(tmp_path / "none.spacy")
