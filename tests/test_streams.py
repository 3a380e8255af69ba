"""nlp.pipe as services and batch jobs use it: workers, memory zones, mixed lengths, failures."""

import multiprocessing
import os
import platform
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import spacy
import torch
from helpers import SENTENCES, answers, assert_same, scored

from metaie_spacy import pipe_with_labels
from metaie_spacy.model.shim import MetaIEShim


def test_a_thousand_docs_of_all_lengths_keep_order_and_answers(make_nlp):
    nlp = make_nlp(threshold=0.05)
    long = " ".join(SENTENCES * 250)
    assert len(nlp.make_doc(long)) > 15_000
    texts = [("", " ", SENTENCES[i % 5], " ".join(SENTENCES[: i % 4]))[i % 4] for i in range(1000)]
    texts[500] = long
    found = list(nlp.pipe(texts, batch_size=1000))
    assert [doc.text for doc in found] == texts
    some = [0, 1, 2, 3, 499, 500, 501, 999]
    assert_same([scored(found[i]) for i in some], [scored(nlp(texts[i])) for i in some])
    assert len(found[500].spans["metaie"]) > 100


def test_worker_processes_give_identical_answers_after_the_parent_has_predicted(make_nlp):
    nlp = make_nlp(threshold=0.05)
    texts = SENTENCES * 8
    expected = [scored(doc) for doc in nlp.pipe(texts)]  # OpenMP threads exist now; a fork does not copy them
    assert_same([scored(doc) for doc in nlp.pipe(texts, n_process=2, batch_size=7)], expected)
    pairs = [(text, ["drug", "date"][: 1 + i % 2]) for i, text in enumerate(texts)]
    alone = [(scored(doc), doc.spans["metaie"].attrs["asked"]) for doc in pipe_with_labels(nlp, pairs)]
    forked = [
        (scored(doc), doc.spans["metaie"].attrs["asked"])
        for doc in pipe_with_labels(nlp, pairs, n_process=2, batch_size=7)
    ]
    assert [asked for _, asked in forked] == [asked for _, asked in alone] == [labels for _, labels in pairs]
    assert_same([one for one, _ in forked], [one for one, _ in alone])


def test_spawned_workers_give_identical_answers(make_nlp, monkeypatch):
    nlp = make_nlp(threshold=0.05)
    expected = [scored(doc) for doc in nlp.pipe(SENTENCES)]
    monkeypatch.setattr("spacy.language.mp", multiprocessing.get_context("spawn"))
    assert any(expected)
    assert_same([scored(doc) for doc in nlp.pipe(SENTENCES, n_process=2, batch_size=3)], expected)


def test_a_forked_child_can_predict_while_the_lock_was_held(make_nlp):
    nlp = make_nlp(threshold=0.05)
    expected = len(nlp(SENTENCES[0]).spans["metaie"])
    shim = nlp.get_pipe("metaie").model.shims[0]
    with shim.lock:  # as a thread of a service holds it when another forks
        child = os.fork()
        if not child:
            os._exit(0 if len(nlp(SENTENCES[0]).spans["metaie"]) == expected and torch.get_num_threads() == 1 else 1)
    assert os.waitpid(child, 0)[1] == 0


def test_workers_on_a_gpu_are_refused_with_the_reason(make_nlp, monkeypatch):
    nlp = make_nlp()
    monkeypatch.setattr(MetaIEShim, "device", torch.device("cuda"))  # workers are forked and see it
    with pytest.raises(ValueError, match="cannot share a model on a GPU"):
        list(nlp.pipe(SENTENCES, n_process=2))


def test_memory_zones_leave_nothing_behind(make_nlp):
    nlp = make_nlp(threshold=0.05)
    pipe = nlp.get_pipe("metaie")

    def ask(number):
        with nlp.memory_zone():
            docs = nlp.pipe([f"{text} newword{number}x{i}" for i, text in enumerate(SENTENCES)])
            return [[(span.text, span.label_) for span in doc.spans["metaie"]] for doc in docs]

    first = [ask(0), ask(1)]
    pipe.labels = ["label of one zone", "person"]
    inside = ask(2)
    pipe.labels = ["person", "date"]
    size = len(nlp.vocab.strings)
    assert [ask(0), ask(1)] == first and inside != first[0]
    assert len(nlp.vocab.strings) == size and "newword0x0" not in nlp.vocab.strings
    assert answers(nlp(SENTENCES[0])) == answers(nlp(SENTENCES[0]))


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc keeps what was freed")
def test_a_long_run_gives_freed_memory_back_to_the_system(make_nlp):
    nlp = make_nlp()

    def resident():
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    kept = [bytearray(b"x") * 100_000 for _ in range(2000)]
    del kept[::2]  # gaps that an allocator keeps for itself, as between tensors of ever new sizes
    before = resident()
    for _ in nlp.pipe(SENTENCES * 150):
        pass
    assert resident() < before - 50_000_000  # of the 100 million bytes


def test_failing_docs_do_not_lose_their_neighbours(make_nlp):
    nlp = make_nlp(threshold=0.05)
    expected = [answers(nlp(text)) for text in SENTENCES]
    failed = []
    nlp.set_error_handler(lambda name, pipe, docs, error: failed.append((len(docs), docs[0].text)))
    docs = [nlp.make_doc(SENTENCES[i % 5] if i % 7 else f"bad {i}") for i in range(60)]
    for i in range(0, 60, 7):
        docs[i]._.metaie_labels = ["\u200b"]  # the tokenizer reads nothing of it
    kept = list(nlp.pipe(docs))
    assert failed == [(1, f"bad {i}") for i in range(0, 60, 7)]
    assert [answers(doc) for doc in kept] == [expected[i % 5] for i in range(60) if i % 7]


def test_refused_pairs_go_to_the_error_handler_and_the_stream_goes_on(make_nlp):
    nlp = make_nlp()
    pairs = [
        ("a", ["x"]),
        ("b\ud800", ["x"]),
        ("c", ["x", ""]),
        "d",
        ("e", 7),
        (7, ["x"]),
        ("f", ["y"]),
        ("g" * 1_000_001, ["x"]),
    ]
    with pytest.raises(ValueError, match="pair 1: .*surrogates"):
        list(pipe_with_labels(nlp, pairs))
    messages = []
    nlp.set_error_handler(lambda name, pipe, docs, error: messages.append(str(error)))
    assert [doc.text for doc in pipe_with_labels(nlp, pairs)] == ["a", "f"]
    expected = [
        "pair 1: ",
        r"pair 2: labels[1] is empty",
        "pair 3: expected (text, labels), not str",
        "pair 4: labels must be a list",
        "pair 5: the text must be",
        "pair 7: [E088]",
    ]
    assert len(messages) == len(expected) and all(
        message.startswith(start) for message, start in zip(messages, expected)
    )


def test_context_travels_beside_the_doc(make_nlp):
    nlp = make_nlp()
    triples = [(text, ["drug"], {"id": i}) for i, text in enumerate(SENTENCES)]
    found = list(pipe_with_labels(nlp, triples, as_tuples=True))
    assert [(doc.text, context) for doc, context in found] == [(text, context) for text, _, context in triples]
    assert [
        context for _, context in nlp.pipe([(text, i) for i, text in enumerate(SENTENCES)], as_tuples=True)
    ] == list(range(5))


def test_labels_reach_the_component_that_was_named(make_nlp):
    nlp = make_nlp(["person"])
    config = {key: value for key, value in nlp.config["components"]["metaie"].items() if key != "factory"}
    nlp.add_pipe("metaie", name="second", config=config | {"spans_key": "second", "labels": ["date"]})
    nlp.get_pipe("second").model.initialize()
    (doc,) = pipe_with_labels(nlp, [(SENTENCES[0], ["drug"])], name="second")
    assert doc.spans["metaie"].attrs["asked"] == ["person"] and doc.spans["second"].attrs["asked"] == ["drug"]
    assert nlp(doc, component_cfg={"second": {"labels": ["date"]}}).spans["second"].attrs["asked"] == [
        "date"
    ]  # labels of a stream do not stick
    other = spacy.blank("en", vocab=nlp.vocab)
    other.add_pipe("metaie", name="renamed", source=nlp)
    (doc,) = pipe_with_labels(other, [(SENTENCES[0], ["drug"])], name="renamed")
    assert doc.spans["metaie"].attrs["asked"] == ["drug"]
    doc = nlp.make_doc(SENTENCES[0])
    doc._.metaie_labels = ["place"]  # of a doc, for every component
    doc = nlp(doc)
    assert doc.spans["metaie"].attrs["asked"] == doc.spans["second"].attrs["asked"] == ["place"]
    with pytest.raises(ValueError, match="no active component 'third'"):
        list(pipe_with_labels(nlp, [], name="third"))


def test_threads_with_labels_of_their_own(make_nlp):
    nlp = make_nlp(threshold=0.05)
    sets = [["person"], ["date", "drug"], {"A": "airline"}, ["place", "person", "date"]]
    expected = [scored(nlp(SENTENCES[1], component_cfg={"metaie": {"labels": labels}})) for labels in sets]
    assert any(expected)

    def ask(i):
        if i % 2:
            return i, scored(nlp(SENTENCES[1], component_cfg={"metaie": {"labels": sets[i % 4]}}))
        return i, scored(next(pipe_with_labels(nlp, [(SENTENCES[1], sets[i % 4])])))

    with ThreadPoolExecutor(8) as pool:
        for i, found in pool.map(ask, range(80)):
            assert_same([found], [expected[i % 4]])
    assert nlp.get_pipe("metaie").labels == ("person", "date")


def test_threads_that_meet_an_unloaded_model_wait_for_one_load(make_nlp, tmp_path, monkeypatch):
    from metaie_spacy.model import weights as model

    make_nlp().to_disk(tmp_path)
    block = {
        key: value for key, value in make_nlp(threshold=0.05).config["components"]["metaie"].items() if key != "factory"
    }
    fresh = spacy.blank("en")
    fresh.add_pipe("metaie", config=block | {"weights": str(tmp_path)})
    loads, load = [], model.load_weights
    monkeypatch.setattr(model, "load_weights", lambda *args, **kwargs: loads.append(1) or load(*args, **kwargs))
    with ThreadPoolExecutor(8) as pool:
        found = [scored(doc) for doc in pool.map(fresh, [SENTENCES[0]] * 16)]
    assert len(loads) == 1
    assert_same(found, [found[0]] * 16)


def test_five_thousand_labels(make_nlp):
    labels = [f"{word} {i}" for i in range(1000) for word in ("person", "place", "date", "drug", "name of")]
    nlp = make_nlp(labels, threshold=0.05, model={"text_sees_labels": False})
    doc = nlp(SENTENCES[0])
    assert doc.spans["metaie"].attrs["asked"] == labels
    chosen = list(dict.fromkeys(span.label_ for span in doc.spans["metaie"]))[:20]
    few = nlp(
        SENTENCES[0], component_cfg={"metaie": {"labels": chosen}}
    )  # blind texts: no label changes another's answers
    whole = {key: score for key, score in scored(doc).items() if key[2] in chosen}
    assert chosen and len(whole) >= 20
    assert_same([scored(few)], [whole])
    assert len(list(make_nlp(labels, threshold=0.05).pipe(SENTENCES[:2]))) == 2
