"""What several test files share: sample texts, files of the repository, and short ways to make, train and read pipelines."""

from pathlib import Path

import numpy as np
import pytest
import spacy
import torch

from metaie_spacy.schema import parse_labels

ROOT = Path(__file__).parents[1]
ASSETS, CONFIGS = ROOT / "assets", ROOT / "configs"
CORPUS = ASSETS / "corpus.jsonl"

SENTENCES = [
    "Ada Lovelace, born 10 December 1815, worked with Charles Babbage in London.",
    "I flew KLM from Amsterdam to Lagos on Monday, and the food was cold.",
    "Ibuprofen hurts my stomach; paracetamol does not.",
    "The Royal Society elected Marie Curie in 1903 for her work on radium.",
    "person organization location date drug airline place name of a person date of birth what hurt",
]
TRAIN = [
    ("Ada Lovelace was born in London.", [("Ada Lovelace", "person"), ("London", "place")]),
    ("KLM flies from Amsterdam to Lagos.", [("KLM", "airline"), ("Amsterdam", "place"), ("Lagos", "place")]),
    ("Marie Curie met Charles Babbage.", [("Marie Curie", "person"), ("Charles Babbage", "person")]),
    ("The food was cold.", []),
]
# A setting for `spacy.load`: "auto" may choose another format on another machine.
FLOAT32 = {"components": {"metaie": {"model": {"compute_dtype": "float32"}}}}
ODD_WORDS = [
    "Ada", "London", "KLM", "1815", " ", "\n", ",", "e.g.", "don't", "\u00a0", "é", "e\u0301", "👩\u200d👩\u200d👧", "日本語", "שלום",
]  # fmt: skip
# Token vectors for a SharedTransformer: those of the pipeline's transformer, or a small network's of its own.
LISTENER = {
    "@architectures": "spacy-transformers.TransformerListener.v1",
    "grad_factor": 1.0,
    "pooling": {"@layers": "reduce_mean.v1"},
}
CNN = {
    "@architectures": "spacy.HashEmbedCNN.v2", "pretrained_vectors": None, "width": 48, "depth": 2, "embed_size": 500,
    "window_size": 1, "maxout_pieces": 2, "subword_features": True,
}  # fmt: skip


def wake(module):
    """Give a fresh module vectors that matter and a head that speaks: scores spread by more than 1."""
    with torch.no_grad():
        module.bias.zero_()
        for vector in (module.shape.weight, module.marker, module.segment):
            vector.normal_()
        for name, weight in module.named_parameters():
            if "_head" in name and weight.ndim == 2:
                weight.mul_(2.5)


def library(module):
    """transformers' own encoder, with the weights of a module."""
    from metaie_spacy.model.encoder import library_encoder

    model = library_encoder(module.config)
    model.load_state_dict(module.encoder.state_dict())
    return model.eval()


def shared(encoder, tok2vec, labels=()):
    """A pipeline with a SharedTransformer that has no weights yet."""
    nlp = spacy.blank("en")
    if tok2vec is LISTENER:
        pytest.importorskip("spacy_transformers")  # which cannot be installed beside transformers 5
        model = {
            "@architectures": "spacy-transformers.TransformerModel.v3",
            "name": encoder,
            "tokenizer_config": {"use_fast": True},
        }
        spans = {"@span_getters": "spacy-transformers.strided_spans.v1", "window": 128, "stride": 96}
        nlp.add_pipe("transformer", config={"model": {**model, "get_spans": spans}})
    block = {
        "@architectures": "metaie-spacy.SharedTransformer.v1",
        "tok2vec": tok2vec,
        "label_encoder": encoder,
        "dropout": 0.0,
    }
    nlp.add_pipe("metaie", config={"labels": list(labels), "weights": None, "model": block})
    return nlp


def packaged(**settings):
    """The packaged model, in the number format that all machines compute alike. settings: of its component."""
    config = {"components": {"metaie": {**FLOAT32["components"]["metaie"], **settings}}}
    return spacy.load("en_metaie_sm", config=config)


def row(text, spans, **fields):
    """An annotation row of a text and its (substring, label) spans."""
    found = [{"start": text.index(part), "end": text.index(part) + len(part), "label": label} for part, label in spans]
    return {"text": text, "spans": found, **fields}


def annotated(nlp, text, spans, key="metaie"):
    """An Example of a text and its (substring, label) spans."""
    from spacy.training import Example

    reference = nlp.make_doc(text)
    reference.spans[key] = [
        reference.char_span(span["start"], span["end"], label=span["label"]) for span in row(text, spans)["spans"]
    ]
    return Example(nlp.make_doc(text), reference)


def overfit(nlp, examples, *, steps=120, lr=2e-3):
    """Train until nothing is left to learn. RETURNS (dict): the losses of the last step."""
    from thinc.api import Adam, warmup_linear

    nlp.initialize(lambda: examples)
    optimizer = Adam(warmup_linear(lr, steps // 10, steps))  # a rate that ends at 0 ends on a stable fit
    losses = {}
    for _ in range(steps):
        losses = nlp.update(examples, sgd=optimizer)
        optimizer.step_schedules()
    return losses


def answers(doc, key="metaie"):
    return [(span.text, span.label_) for span in doc.spans[key]]


def scored(doc):
    """The score of every span of a doc, by its place and label."""
    group = doc.spans["metaie"]
    return {(s.start, s.end, s.label_): float(x) for s, x in zip(group, group.attrs["scores"])}


def logits_of(nlp, texts, labels):
    """{(text, name of a label): its logits (W, 2)}"""
    docs = [nlp.make_doc(text) for text in texts]
    found = {}
    for i, asked, _, logits in nlp.get_pipe("metaie").score_labels(docs, [parse_labels(labels)] * len(docs)):
        found |= {(texts[i], label.name): logits[:, u] for u, label in enumerate(asked)}
    return found


def largest_change(before, after):
    """Of any logit of `before`, all of which `after` has."""
    return max(np.abs(before[key] - after[key]).max() for key in before)


def assert_same(found, expected, tolerance=1e-4):
    """The same spans in all docs, with scores that differ by less than the tolerance."""
    assert [one.keys() for one in found] == [one.keys() for one in expected]
    assert all(abs(one[key] - other[key]) < tolerance for one, other in zip(found, expected) for key in other)
