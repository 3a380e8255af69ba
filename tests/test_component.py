"""The component in a pipeline: what users do with it, and what they do wrong."""

import json
import subprocess
import sys

import numpy as np
import pytest
import spacy
from helpers import ODD_WORDS, SENTENCES, TRAIN, annotated, answers, assert_same, overfit, row, scored
from hypothesis import given, settings
from hypothesis import strategies as st

from metaie_spacy import pipe_with_labels
from metaie_spacy.data.corpus import make_corpus


@pytest.mark.parametrize("architecture", ["LabelToSpan", "CrossEncoder"])
def test_overfitting_IO(make_nlp, architecture, tmp_path):
    nlp = make_nlp((), architecture=architecture)
    examples = [annotated(nlp, text, spans) for text, spans in TRAIN]
    losses = overfit(nlp, examples)
    assert losses["metaie"] < 0.05
    assert nlp.get_pipe("metaie").labels == ("airline", "person", "place")
    assert nlp.evaluate(examples)["spans_metaie_f"] == 1.0
    before = [scored(nlp(text)) for text, _ in TRAIN]
    nlp.to_disk(tmp_path)
    again = spacy.load(tmp_path)
    from_bytes = spacy.blank("en")
    block = {key: value for key, value in nlp.config["components"]["metaie"].items() if key != "factory"}
    from_bytes.add_pipe("metaie", config=block)
    from_bytes.from_bytes(nlp.to_bytes())
    for other in (again, from_bytes):
        assert [scored(other(text)) for text, _ in TRAIN] == before
    texts = [text for text, _ in TRAIN] * 3
    assert_same([scored(doc) for doc in again.pipe(texts, n_process=2, batch_size=3)], before * 3)


def test_open_labels_train_on_rows_with_labels_of_their_own(make_nlp, tmp_path):
    rows = [row(text, spans, absent=["drug"]) for text, spans in TRAIN]
    path = tmp_path / "rows.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)), encoding="utf8")
    # Training asks sampled negatives too, evaluation does not: a tiny encoder that sees the labels notices.
    nlp = make_nlp((), model={"text_sees_labels": False})
    examples = list(make_corpus(path)(nlp))
    assert overfit(nlp, examples, steps=200)["metaie"] < 0.1
    scores = nlp.evaluate(examples)
    assert scores["spans_metaie_f"] == 1.0
    assert nlp.get_pipe("metaie").labels == ()  # an open corpus closes nothing


def test_labels_can_be_a_list_or_queries_with_thresholds_at_any_time(make_nlp):
    nlp = make_nlp(["person"])
    pipe = nlp.get_pipe("metaie")
    assert nlp("Ada flew.").spans["metaie"].attrs["asked"] == ["person"]
    pipe.labels = {"PER": "person", "PERSON": {"query": "person", "threshold": 0.999}}
    pipe.threshold = 0.001
    doc = nlp(SENTENCES[0])
    found = answers(doc)
    assert doc.spans["metaie"].attrs["asked"] == ["PER", "PERSON"]
    assert {label for _, label in found} == {"PER"}  # the same query under a threshold that nothing reaches
    pipe.labels = []
    with pytest.warns(UserWarning, match="no labels"):
        assert answers(nlp(SENTENCES[0])) == []


def test_a_label_is_added_once_and_asked_as_its_own_query(make_nlp):
    nlp = make_nlp({"PER": {"query": "person", "threshold": 0.3}}, threshold=0.01)
    pipe = nlp.get_pipe("metaie")
    assert [pipe.add_label("date"), pipe.add_label("date"), pipe.add_label("PER")] == [1, 0, 0]
    assert pipe.label_data == {"PER": {"query": "person", "threshold": 0.3}, "date": "date"}
    doc = nlp(SENTENCES[0])
    assert doc.spans["metaie"].attrs["asked"] == ["PER", "date"]
    assert "date" in {label for _, label in answers(doc)}


def test_labels_for_one_call_and_per_text_leave_the_component_alone(make_nlp):
    nlp = make_nlp(["person"], threshold=0.01)
    pipe = nlp.get_pipe("metaie")
    doc = nlp(SENTENCES[0], component_cfg={"metaie": {"labels": ["drug", "date"]}})
    assert doc.spans["metaie"].attrs["asked"] == ["drug", "date"]
    pairs = [(SENTENCES[0], ["place"]), (SENTENCES[1], {"A": "airline"}), (SENTENCES[2], ["drug", "what hurt"])]
    docs = list(pipe_with_labels(nlp, pairs))
    assert [doc.spans["metaie"].attrs["asked"] for doc in docs] == [["place"], ["A"], ["drug", "what hurt"]]
    for doc, (text, labels) in zip(docs, pairs):
        alone = scored(nlp(text, component_cfg={"metaie": {"labels": labels}}))
        together = scored(doc)
        assert alone.keys() == together.keys()
        assert all(abs(alone[key] - together[key]) < 1e-4 for key in alone)
    assert pipe.labels == ("person",)


def test_flat_keeps_the_best_of_overlapping_spans(make_nlp):
    nlp = make_nlp(["person", "place", "date", "drug"], threshold=0.01)
    overlapping = nlp(SENTENCES[0])
    nlp.get_pipe("metaie").flat = True
    flat = nlp(SENTENCES[0])
    tokens = [token.i for span in flat.spans["metaie"] for token in span]
    assert len(tokens) == len(set(tokens))
    assert len(flat.spans["metaie"]) < len(overlapping.spans["metaie"])
    assert max(overlapping.spans["metaie"].attrs["scores"]) == max(flat.spans["metaie"].attrs["scores"])


@pytest.mark.parametrize("text", ["", " ", "\n\n \t", "x", "\u200b", "a" * 5000, "👩‍👩‍👧 😀", "\u202e\u0000"])
def test_odd_texts_get_a_group_with_scores(make_nlp, text):
    nlp = make_nlp(threshold=0.01)
    doc = nlp(text)
    group = doc.spans["metaie"]
    assert group.attrs["asked"] == ["person", "date"]
    assert group.attrs["scores"].dtype == np.float32 and len(group.attrs["scores"]) == len(group)
    assert [answers(d) for d in nlp.pipe([text, "Ada flew.", text])][0] == answers(doc)


def test_one_failing_doc_does_not_lose_its_neighbours(make_nlp):
    nlp = make_nlp()
    failed = []
    nlp.set_error_handler(lambda name, pipe, docs, error: failed.append((docs[0].text, str(error))))
    docs = [nlp.make_doc(text) for text in ("Ada flew.", "bad", "Marie flew.")]
    docs[1]._.metaie_labels = ["  "]
    kept = list(nlp.pipe(docs))
    assert [doc.text for doc in kept] == ["Ada flew.", "Marie flew."]
    assert failed[0][0] == "bad" and "is empty" in failed[0][1]


def test_label_longer_than_the_window_is_named(make_nlp):
    for architecture in ("LabelToSpan", "CrossEncoder"):
        nlp = make_nlp(["person", "very " * 600 + "long"], architecture=architecture)
        with pytest.raises(ValueError, match="The label 'very very .* pieces"):
            nlp("Ada flew.")


def test_label_without_any_piece_is_named(make_nlp):
    with pytest.raises(ValueError, match="nothing that the encoder's tokenizer can read"):
        make_nlp(["\u200b\u200d"])("Ada flew.")


@pytest.mark.parametrize(
    "config, message",
    [
        ({"threshold": "high"}, "threshold.*'high' is not"),
        ({"flat": "perhaps"}, "flat.*'perhaps' is not"),
        ({"model": {"window": "wide"}}, "window.*'wide' is not"),
        ({"model": {"overlap": 200}}, r"overlap \(200\) must be .* less than half of window \(96\)"),
        ({"model": {"save_dtype": "int4"}}, "save_dtype is 'int4'; use 'float16' or 'float32'"),
        ({"model": {"compute_dtype": "float8"}}, "compute_dtype is 'float8'; use one of"),
        ({"no_such_setting": 1}, "unexpected argument: 'no_such_setting'"),
    ],
)
def test_a_config_that_cannot_work_is_refused_with_the_settings_name(config, message):
    with pytest.raises(ValueError, match=message):  # confection's ConfigValidationError is one
        spacy.blank("en").add_pipe("metaie", config=config)


def test_component_needs_neither_torch_nor_transformers():
    # spacy.blank() imports the component of every installed package: it must not fail in ours.
    code = (
        "import sys\n"
        "class Block:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name.split('.')[0] in ('torch', 'transformers'): raise ImportError('blocked ' + name)\n"
        "sys.meta_path.insert(0, Block())\n"
        "import metaie_spacy.component; from metaie_spacy import MetaIE, pipe_with_labels\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_factory_loads_nothing():
    nlp = spacy.blank("en")
    pipe = nlp.add_pipe("metaie", config={"weights": "no_such_package"})
    assert not pipe.model.shims[0].loaded


def test_saved_pipeline_opens_without_the_default_weights(make_nlp, tmp_path):
    nlp = make_nlp(threshold=0.01)
    nlp.config["components"]["metaie"]["weights"] = "no_such_package"
    nlp.to_disk(tmp_path)
    assert scored(spacy.load(tmp_path)(SENTENCES[0])) == scored(nlp(SENTENCES[0]))


def test_run_time_settings_are_saved_and_a_changed_config_wins(make_nlp, tmp_path):
    nlp = make_nlp(["person"])
    pipe = nlp.get_pipe("metaie")
    pipe.labels, pipe.threshold = {"D": {"query": "date", "threshold": 0.2}}, 0.3
    nlp.to_disk(tmp_path)
    again = spacy.load(tmp_path).get_pipe("metaie")
    assert again.label_data == {"D": {"query": "date", "threshold": 0.2}} and again.threshold == 0.3
    changed = spacy.load(
        tmp_path, config={"components": {"metaie": {"threshold": 0.7, "model": {"token_budget": 99}}}}
    ).get_pipe("metaie")
    assert changed.threshold == 0.7 and changed.labels == ("D",)
    assert changed.model.shims[0].limits["token_budget"] == 99


def test_examples_without_the_spans_key_are_refused(make_nlp):
    nlp = make_nlp(())
    examples = [annotated(nlp, *TRAIN[0], key="sc")]
    with pytest.raises(ValueError, match=r"No example has a span in doc.spans\['metaie'\], only in \['sc'\]"):
        nlp.initialize(lambda: examples)


def test_initialize_without_examples_loads_the_starting_weights(make_nlp, encoders):
    nlp = spacy.blank("en")
    nlp.add_pipe("metaie", config={"weights": None, "model": {"name": encoders["bert"]}})
    optimizer = nlp.initialize()
    assert nlp.get_pipe("metaie").model.shims[0].loaded
    with pytest.raises(ValueError, match="no labels to train on"):
        nlp.update([annotated(nlp, "No one came.", [])], sgd=optimizer)


def test_copies_and_threads_share_nothing_that_breaks(make_nlp):
    import copy
    import pickle
    from concurrent.futures import ThreadPoolExecutor

    nlp = make_nlp(threshold=0.01)
    expected = {
        label: scored(nlp(SENTENCES[0], component_cfg={"metaie": {"labels": [label]}}))
        for label in ("person", "date", "drug")
    }
    model = nlp.get_pipe("metaie").model
    for other in (model.copy(), copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        nlp.get_pipe("metaie").model = other
        assert scored(nlp(SENTENCES[0], component_cfg={"metaie": {"labels": ["person"]}})) == expected["person"]

    def ask(i):
        label = list(expected)[i % 3]
        return label, scored(nlp(SENTENCES[0], component_cfg={"metaie": {"labels": [label]}}))

    with ThreadPoolExecutor(8) as pool:
        for label, found in pool.map(ask, range(60)):
            assert found.keys() == expected[label].keys()
            assert all(abs(found[key] - expected[label][key]) < 1e-4 for key in found)


def test_examples_with_an_unknown_label_are_refused(make_nlp):
    nlp = make_nlp(["person"])
    example = annotated(nlp, *TRAIN[0])
    nlp.initialize(lambda: [example])
    with pytest.raises(ValueError, match=r"labels that the component lacks: \['place'\]"):
        nlp.update([example])


def test_source_from_another_pipeline(make_nlp):
    nlp = make_nlp(threshold=0.01)
    other = spacy.blank("en", vocab=nlp.vocab)
    other.add_pipe("metaie", source=nlp)
    assert scored(other(SENTENCES[0])) == scored(nlp(SENTENCES[0]))


def test_pipelines_without_the_component_open_and_run(make_nlp, tmp_path):
    nlp = make_nlp(threshold=0.01)
    nlp.to_disk(tmp_path)
    without = spacy.load(tmp_path, exclude=["metaie"])
    assert without.pipe_names == [] and "metaie" not in without(SENTENCES[0]).spans
    disabled = spacy.load(tmp_path, disable=["metaie"])
    assert disabled.pipe_names == [] and "metaie" not in disabled(SENTENCES[0]).spans
    disabled.enable_pipe("metaie")
    assert scored(disabled(SENTENCES[0])) == scored(nlp(SENTENCES[0]))
    with nlp.select_pipes(disable=["metaie"]):
        assert "metaie" not in nlp(SENTENCES[0]).spans
    nlp.to_disk(tmp_path / "bare", exclude=["metaie"])
    assert not (tmp_path / "bare" / "metaie").exists()
    same = make_nlp(threshold=0.01).from_bytes(nlp.to_bytes(exclude=["vocab"]))
    assert scored(same(SENTENCES[0])) == scored(nlp(SENTENCES[0]))


def test_answers_survive_docbin_and_bytes(make_nlp):
    from spacy.tokens import Doc, DocBin

    nlp = make_nlp(threshold=0.01)
    doc = nlp(SENTENCES[0])
    for other in (
        Doc(nlp.vocab).from_bytes(doc.to_bytes()),
        next(DocBin().from_bytes(DocBin(docs=[doc]).to_bytes()).get_docs(nlp.vocab)),
    ):
        assert scored(other) == scored(doc) and other.spans["metaie"].attrs["asked"] == ["person", "date"]


def test_training_a_pipeline_leaves_a_frozen_component_alone(make_nlp):
    nlp = make_nlp(["person", "place"])
    examples = [annotated(nlp, *TRAIN[0])]
    optimizer = nlp.initialize(lambda: examples)
    before = scored(nlp(TRAIN[0][0]))
    nlp.update(examples, sgd=optimizer, exclude=["metaie"])
    assert scored(nlp(TRAIN[0][0])) == before


def test_one_component_cfg_serves_pipe_and_call(make_nlp):
    nlp, config = make_nlp(), {"metaie": {"labels": ["drug"]}}
    list(nlp.pipe(["Ada flew."], component_cfg=config))  # spaCy adds a batch size to it
    assert nlp("Ada flew.", component_cfg=config).spans["metaie"].attrs["asked"] == ["drug"]


def test_flat_prefers_the_label_that_was_rarer_in_the_corpus(make_nlp):
    nlp = make_nlp(["person", "Name of  a PERSON"], flat=True)
    pipe = nlp.get_pipe("metaie")
    module = pipe.model.shims[0].module
    text = "Ada Lovelace, born 10 December 1815, worked with Charles Babbage in London."
    pipe.threshold = 0.01

    def winners():
        doc = nlp(text)
        return {span.label_ for span in (doc.ents if pipe.set_ents else doc.spans["metaie"])}

    module.config.metaie["label_counts"] = {"person": 10**9}
    assert "Name of  a PERSON" in winners()
    first = winners()
    module.config.metaie["label_counts"] = {"name of a person": 10**9}
    assert "person" in winners() and winners() != first
    pipe.flat, pipe.set_ents = False, True
    assert winners() and "person" in winners()


def test_flat_counts_the_labels_of_all_passes(make_nlp, monkeypatch):
    nlp = make_nlp([f"label {i}" for i in range(60)], flat=True, model={"label_budget": 32, "text_sees_labels": True})
    pipe = nlp.get_pipe("metaie")
    seen, generality = [], type(pipe).generality
    monkeypatch.setattr(
        type(pipe), "generality", lambda self, labels, n: seen.append((len(labels), n)) or generality(self, labels, n)
    )
    nlp("Ada Lovelace met Charles Babbage.")
    assert len(seen) > 1 and sum(part for part, _ in seen) == 60 and {n for _, n in seen} == {60}


@pytest.fixture
def narrow(make_nlp):
    """A pipeline that reads texts in small windows."""
    return make_nlp(["person", "date", "place"], threshold=0.05, model={"window": 24, "overlap": 8})


@settings(max_examples=60)
@given(
    parts=st.lists(st.one_of(st.sampled_from(ODD_WORDS), st.text(max_size=8)), max_size=60),
    glue=st.sampled_from(["", " "]),
)
def test_spans_align_with_the_text(narrow, parts, glue):
    text = glue.join(parts).encode("utf8", "ignore").decode("utf8")
    doc = narrow(text)
    group = doc.spans["metaie"]
    scores = group.attrs["scores"]
    assert doc.text == text and len(scores) == len(group) and bool(np.all((scores >= 0) & (scores <= 1)))
    for span in group:
        assert span.text == text[span.start_char : span.end_char] and span.text.strip()
        assert not doc[span.start].is_space and not doc[span.end - 1].is_space
