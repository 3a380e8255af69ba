"""What the component leaves for a router: nothing unless it is asked, and then without changing an answer."""

import numpy as np
import pytest
import torch
from routed import LABELS, TEXTS

from metaie_spacy.notes import take_note
from metaie_spacy.spans import decode

LONG = " ".join(f"{text}\n\n" for text in TEXTS)


@pytest.fixture
def nlp(make_nlp):
    nlp = make_nlp(LABELS, model={"text_sees_labels": False}, threshold=0.7)
    nlp.get_pipe("metaie").model.shims[0].add_links()
    return nlp


def test_answers_are_the_same_with_notes_and_docs_have_none_without(nlp):
    pipe = nlp.get_pipe("metaie")
    before = list(nlp.pipe([*TEXTS, LONG]))
    pipe.notes = True
    after = list(nlp.pipe([*TEXTS, LONG]))
    for one, other in zip(before, after):
        groups = one.spans["metaie"], other.spans["metaie"]
        found, noted = ([(s.start, s.end, s.label) for s in group] for group in groups)
        assert found == noted and (groups[0].attrs["scores"] == groups[1].attrs["scores"]).all()
        assert not one.user_data and take_note(other, "metaie") is not None and not other.user_data


def test_nothing_is_read_twice_for_a_note(nlp, monkeypatch):
    pipe, calls = nlp.get_pipe("metaie"), []
    shim = pipe.model.shims[0]
    predict = shim.predict
    monkeypatch.setattr(shim, "predict", lambda inputs: calls.append(len(inputs.args[0].ids)) or predict(inputs))
    list(nlp.pipe(TEXTS))
    alone, pipe.notes = sorted(calls), True
    calls.clear()
    list(nlp.pipe(TEXTS))
    assert sorted(calls) == alone


def test_the_state_of_a_text_is_the_mean_of_its_states(nlp):
    pipe = nlp.get_pipe("metaie")
    pipe.notes = True
    docs = list(nlp.pipe([*TEXTS[:3], LONG, " "]))
    notes = [take_note(doc, "metaie") for doc in docs]
    shim = pipe.model.shims[0]
    for doc, note in zip(docs[:3], notes):
        packed, _ = shim.pieces.texts([[token.text for token in doc]])
        expected = shim.link_states(packed).mean(0)
        assert torch.allclose(torch.from_numpy(note.state), expected, atol=1e-5)
    assert notes[3].state.shape == notes[0].state.shape and np.isfinite(notes[3].state).all()
    assert notes[4].state is None


def test_weights_whose_texts_see_labels_have_no_states_but_notes(make_nlp):
    nlp = make_nlp(LABELS, threshold=0.7)
    nlp.get_pipe("metaie").notes = True
    note = take_note(nlp(TEXTS[0]), "metaie")
    assert note.state is None and [label.name for label in note.ask.labels] == LABELS


def test_what_was_dropped_is_what_a_threshold_takes_away():
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(60, 2, 2)).astype("float32") * 2
    tags, least = np.array([0.4, 0.4]), np.array([0.7, 0.6])
    dropped = []
    everything = decode(logits, ["a", "b"], tags, range(60))
    kept = decode(logits, ["a", "b"], tags, range(60), least=least, dropped=dropped)
    assert kept == decode(logits, ["a", "b"], tags, range(60), least=least)
    assert dropped and kept
    assert sorted(dropped + kept) == sorted(everything)
