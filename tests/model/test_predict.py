"""A text's scores depend neither on its company, nor on the order of the labels, nor on when they are asked."""

import pytest
import spacy
from helpers import SENTENCES, largest_change, logits_of
from hypothesis import given, settings
from hypothesis import strategies as st

from metaie_spacy.model import predict
from metaie_spacy.model.predict import chunk_labels
from metaie_spacy.schema import parse_labels

LABELS = ["person", "date of birth", "name of a person", "drug", "what hurt"]
KINDS = {
    "blind": {},
    "sees labels": {"model": {"text_sees_labels": True}},
    "sees few labels at once": {"model": {"text_sees_labels": True, "label_budget": 5}},
    "cross encoder": {"architecture": "CrossEncoder"},
}


@pytest.fixture(params=KINDS)
def make(request, make_nlp, number_format):
    """Pipelines of one kind, with equal weights, that compute in one number format."""
    kind = KINDS[request.param]

    def make(**options):
        model = {"compute_dtype": number_format.name, **kind.get("model", {})}
        return make_nlp(LABELS, **(kind | {"model": model} | options))

    return make


def test_a_call_gives_exactly_what_it_gave_before(make):
    nlp = make()
    assert largest_change(logits_of(nlp, SENTENCES, LABELS), logits_of(nlp, SENTENCES, LABELS)) == 0


def test_order_of_labels_changes_no_score(make, number_format):
    before = logits_of(make(), SENTENCES, LABELS)
    another = {label: label for label in LABELS[::-1]} | {"again": LABELS[0]}
    assert largest_change(before, logits_of(make(), SENTENCES, another)) < number_format.tolerance


def test_batch_composition_and_padding_change_no_score(make, number_format):
    nlp = make()
    together = logits_of(nlp, SENTENCES, LABELS)
    for text in SENTENCES:
        assert largest_change(logits_of(nlp, [text], LABELS), together) < number_format.tolerance


@pytest.mark.parametrize("family", ["bert", "electra", "roberta"])
def test_a_saved_pipeline_gives_the_same_scores(make, family, number_format, tmp_path):
    nlp = make(family=family)
    nlp.to_disk(tmp_path)
    change = largest_change(logits_of(nlp, SENTENCES, LABELS), logits_of(spacy.load(tmp_path), SENTENCES, LABELS))
    assert change < number_format.tolerance


def test_labels_beyond_the_budget_are_asked_in_further_passes_where_texts_see_them(make_nlp):
    nlp = make_nlp(model={"label_budget": 5, "text_sees_labels": True})
    passes = list(nlp.get_pipe("metaie").score_labels([nlp.make_doc(SENTENCES[0])], [parse_labels(LABELS)]))
    assert len(passes) >= 3 and sorted(label.name for _, asked, _, _ in passes for label in asked) == sorted(LABELS)


def test_a_text_that_sees_no_labels_is_read_once_for_any_number_of_them(make_nlp, monkeypatch):
    nlp = make_nlp(model={"label_budget": 5, "window": 16, "overlap": 4})
    shim = nlp.get_pipe("metaie").model.shims[0]
    texts = [*SENTENCES, " ".join(SENTENCES)]
    n_pieces = sum(sum(part.size for part in parts) for parts in windows_of_texts(nlp, texts))
    read, embed = [], type(shim.module).inputs
    monkeypatch.setattr(
        type(shim.module), "inputs", lambda self, packed: read.append(len(packed.ids)) or embed(self, packed)
    )
    once = logits_of(nlp, texts, LABELS)
    assert sum(read) == n_pieces
    read.clear()
    monkeypatch.setattr(predict, "KEPT", 20)  # the long text would take too much memory: it is read for each chunk
    monkeypatch.setattr(predict, "MOST_CELLS", 30)
    again = logits_of(nlp, texts, LABELS)
    assert sum(read) > n_pieces and largest_change(once, again) < 1e-4


def windows_of_texts(nlp, texts):
    shim = nlp.get_pipe("metaie").model.shims[0]
    for text in texts:
        words = [token.text for token in nlp.make_doc(text)]
        sizes = [len(ids) for ids in shim.pieces(words)]
        yield predict.windows_of(shim.limits, shim.module.text_room, sizes, 0, words)


class Letters:
    """A piece per letter."""

    def label(self, label):
        return (0, *map(ord, label.replace(" ", "")))


@settings(max_examples=300)
@given(st.lists(st.text("abcdefg ", min_size=1, max_size=20).filter(str.strip)), st.integers(5, 60))
def test_label_chunks_hold_every_label_once_in_order(labels, budget):
    chunks = chunk_labels(labels, Letters(), budget, 64)
    assert [label for chunk in chunks for label in chunk] == sorted(set(labels))
    sizes = [sum(len(Letters().label(label)) for label in chunk) for chunk in chunks]
    assert all(size <= budget + 2 * 21 for size in sizes)  # balanced: at most about a label beyond
