"""Encoded labels that are kept between calls."""

import spacy
from helpers import SENTENCES, TRAIN, annotated, largest_change, logits_of, scored

LABELS = ["person", "date of birth", "name of a person", "drug", "what hurt"]


def test_labels_are_encoded_anew_after_an_update(make_nlp, tmp_path):
    nlp = make_nlp(["person", "place"], threshold=0.01)
    example = annotated(nlp, *TRAIN[0])
    optimizer = nlp.initialize(lambda: [example])
    before = scored(nlp(TRAIN[0][0]))  # the labels' states are kept from here on
    for _ in range(5):
        nlp.update([example], sgd=optimizer)
    after = scored(nlp(TRAIN[0][0]))
    nlp.to_disk(tmp_path)
    assert after == scored(spacy.load(tmp_path)(TRAIN[0][0])) != before  # as for one who never saw the old states


def test_a_label_is_encoded_once_and_the_cache_stays_within_its_bytes(make_nlp):
    nlp = make_nlp()
    cache = nlp.get_pipe("metaie").model.shims[0].labels
    before = logits_of(nlp, SENTENCES, LABELS)
    logits_of(nlp, SENTENCES, LABELS[::-1][:3])
    assert cache.encoded == len(LABELS)
    cache.max_bytes = cache.size // 2
    logits_of(nlp, SENTENCES, ["airline"])
    assert 0 < cache.size <= cache.max_bytes
    assert largest_change(before, logits_of(nlp, SENTENCES, LABELS)) < 1e-4
    assert cache.encoded > len(LABELS) + 1  # some had to go
