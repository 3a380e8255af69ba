"""Links of weights with a head pass in workers, threads, copies and files: what shares a model changes no answer."""

import pickle
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import spacy
import torch
from helpers import CNN, SENTENCES, shared, wake
from spacy.tokens import Doc, DocBin

import metaie_spacy
from metaie_spacy import pipe_with_labels

SCHEMA = {
    "labels": {"NAME": {"pattern": "Ada Lovelace|Charles Babbage|Marie Curie|KLM"}, "PLACE": {"pattern": "London|Lagos|Amsterdam"}},
    "links": {
        "lives": {"head": "NAME", "query": "residence", "inverse": "inhabitant", "tail": "PLACE"},
        "near": {"head": ["PLACE", "lives"], "query": "place"},
        "of": {"head": "near", "query": "person", "tail": "NAME"},
    },
    "attributes": {"tone": {"head": "NAME", "options": ["good", "bad"]}},
    "link_threshold": 0.02,
}  # fmt: skip
TEXTS = [*SENTENCES[:4], "", " ", "London", "\u200b Lagos \x00", " ".join(SENTENCES * 5), *SENTENCES[:2]]


def linked(encoders, architecture="blind"):
    """A pipeline whose untrained weights have a head pass and say much."""
    torch.manual_seed(0)
    if architecture == "shared":
        nlp = shared(encoders["bert"], CNN)
        nlp.get_pipe("metaie").model.initialize()
    else:
        nlp = spacy.blank("en")
        block = {"name": encoders["bert"], "text_sees_labels": architecture == "sees", "compute_dtype": "float32"}
        nlp.add_pipe("metaie", config={"weights": None, "model": block})
        nlp.initialize()
    pipe = nlp.get_pipe("metaie")
    shim = pipe.model.shims[0]
    shim.add_links()
    wake(shim.module)
    with torch.no_grad():
        shim.module.links.bias.fill_(0.5)
    shim.link_calibration = {"bias": 0.3, "threshold": 0.05}
    pipe.schema = SCHEMA
    return nlp


@pytest.fixture(params=["blind", "sees", "shared"])
def nlp(request, encoders):
    return linked(encoders, request.param)


def noted(doc):
    """Links and attributes, and their scores."""
    attrs = doc.spans["metaie"].attrs
    return {tuple(entry[:-1]): entry[-1] for name in ("links", "attributes") for entry in attrs[name]}


def same(docs, others):
    for doc, other in zip(docs, others, strict=True):
        one, two = noted(doc), noted(other)
        assert one.keys() == two.keys()
        assert np.allclose([one[key] for key in one], [two[key] for key in one], atol=1e-4)


def test_texts_alone_and_in_batches_of_any_size_have_the_same_links(nlp):
    alone = [nlp(text) for text in TEXTS]
    names = {link.label for doc in alone for link in metaie_spacy.links(doc)}
    assert names == {"lives", "near", "of"}
    for size in (2, 5, 100):
        same(alone, nlp.pipe(TEXTS, batch_size=size))


def test_workers_give_the_links_of_one_process(nlp):
    same(list(nlp.pipe(TEXTS)), nlp.pipe(TEXTS, n_process=2, batch_size=3))
    asked = [(text, SCHEMA) for text in TEXTS]
    same(list(nlp.pipe(TEXTS)), pipe_with_labels(nlp, asked, n_process=2, batch_size=3))


def test_threads_that_share_a_pipeline_get_their_own_links(nlp):
    expected = [nlp(text) for text in TEXTS]
    nlp.get_pipe("metaie").model.shims[0].forget()
    with ThreadPoolExecutor(4) as pool:
        for found in pool.map(lambda _: [nlp(text) for text in TEXTS], range(4)):
            same(expected, found)


def test_copies_by_bytes_and_files_give_the_same_links(nlp, encoders, tmp_path, request):
    expected = list(nlp.pipe(TEXTS))
    architecture = request.node.callspec.params["nlp"]
    other = linked(encoders, architecture).from_bytes(nlp.to_bytes())
    same(expected, other.pipe(TEXTS))
    nlp.to_disk(tmp_path / "nlp")
    same(expected, spacy.load(tmp_path / "nlp").pipe(TEXTS))
    same(expected, pickle.loads(pickle.dumps(nlp)).pipe(TEXTS))


def test_docs_in_a_file_keep_links_attributes_and_answers(nlp):
    docs = list(nlp.pipe(TEXTS))
    again = DocBin().from_bytes(DocBin(docs=docs, store_user_data=True).to_bytes())
    for doc, other in zip(docs, again.get_docs(nlp.vocab), strict=True):
        assert noted(other) == noted(doc)
        assert [tuple(map(str, link)) for link in metaie_spacy.links(other)] == [
            tuple(map(str, link)) for link in metaie_spacy.links(doc)
        ]
        assert metaie_spacy.records(other) == metaie_spacy.records(doc)
    same(docs, [Doc(nlp.vocab).from_bytes(doc.to_bytes()) for doc in docs])


def test_a_component_with_a_threshold_of_its_own_loads_its_weights_on_first_use(encoders, tmp_path):
    nlp = linked(encoders)
    nlp.to_disk(tmp_path / "nlp")
    fresh = spacy.blank("en")
    block = {"name": encoders["bert"], "compute_dtype": "float32"}
    fresh.add_pipe("metaie", config={"weights": str(tmp_path / "nlp"), "threshold": 0.3, "model": block})
    fresh.get_pipe("metaie").schema = SCHEMA | {"threshold": 0.3}
    same(nlp.pipe(TEXTS), fresh.pipe(TEXTS))
