"""SharedTransformer: token vectors of a tok2vec that other components use too."""

import json

import pytest
import spacy
import torch
from helpers import CNN, CONFIGS, LISTENER, SENTENCES, TRAIN, annotated, answers, overfit, scored, shared
from spacy.cli.train import train


@pytest.mark.parametrize("tok2vec", [LISTENER, CNN], ids=["listener", "own"])
def test_overfitting_IO(encoders, tok2vec, tmp_path):
    torch.manual_seed(0)
    nlp = shared(encoders["bert"], tok2vec)
    examples = [annotated(nlp, text, spans) for text, spans in TRAIN] + [
        annotated(nlp, "", []),
        annotated(nlp, " ", []),
    ]
    losses = overfit(nlp, examples)
    assert losses["metaie"] < 0.05
    nlp.update([annotated(nlp, "", [])])  # a batch of nothing
    assert nlp.evaluate(examples)["spans_metaie_f"] == 1.0
    before = [scored(nlp(text)) for text, _ in TRAIN]
    nlp.to_disk(tmp_path)
    again = spacy.load(tmp_path)
    assert [scored(again(text)) for text, _ in TRAIN] == before
    other = again(
        TRAIN[0][0], component_cfg={"metaie": {"labels": ["person", "a label of no text"]}}
    )  # labels stay open
    assert ("Ada Lovelace", "person") in answers(other) and ("London", "place") not in answers(other)
    texts = ["", *(text for text, _ in TRAIN), "\n"]
    for doc, expected in zip(again.pipe(texts, n_process=2, batch_size=2), [{}, *before, {}]):
        found = scored(doc)
        assert found.keys() == expected.keys() and all(abs(found[key] - expected[key]) < 1e-4 for key in found)
    start = shared(encoders["bert"], tok2vec)
    start.get_pipe("metaie").weights = str(tmp_path)
    if tok2vec is CNN:  # a component with a tok2vec of its own is complete without the rest of the pipeline
        start.get_pipe("metaie").labels = nlp.get_pipe("metaie").label_data
        assert [scored(start(text)) for text, _ in TRAIN] == before


def test_labels_in_several_chunks_score_alike(encoders):
    labels = ["person", "place", "airline", "date of birth", "drug"]
    nlp = shared(encoders["bert"], CNN, labels)
    nlp.initialize(lambda: [annotated(nlp, text, spans) for text, spans in TRAIN])
    pipe = nlp.get_pipe("metaie")
    pipe.threshold = 0.01
    whole = [scored(nlp(text)) for text in SENTENCES]
    pipe.model.shims[0].limits["label_budget"] = 3
    cut = [scored(nlp(text)) for text in SENTENCES]
    assert any(whole) and [one.keys() for one in whole] == [one.keys() for one in cut]
    assert all(abs(one[key] - other[key]) < 1e-4 for one, other in zip(whole, cut) for key in one)


def test_one_transformer_serves_ner_and_metaie(encoders, make_nlp, tmp_path):
    pytest.importorskip("spacy_transformers")  # which cannot be installed beside transformers 5
    make_nlp().to_disk(tmp_path / "start")  # its label encoder is taken over, its token head is not
    rows = [
        {
            "text": text,
            "spans": [{"start": text.index(p), "end": text.index(p) + len(p), "label": label} for p, label in spans],
        }
        for text, spans in TRAIN
    ]
    data = tmp_path / "rows.jsonl"
    data.write_text("\n".join(map(json.dumps, rows)), encoding="utf8")
    changes = {
        "paths.train": str(data), "paths.dev": str(data), "paths.encoder": encoders["bert"], "training.max_steps": 120,
        "paths.init_from": str(tmp_path / "start"), "components.metaie.model.dropout": 0.0,
        "training.eval_frequency": 60, "training.optimizer.learn_rate.initial_rate": 2e-3, "training.optimizer.learn_rate.total_steps": 120,
        "training.optimizer.learn_rate.warmup_steps": 10, "training.batcher.size": 4,
    }  # fmt: skip
    train(CONFIGS / "shared_transformer.cfg", tmp_path / "out", overrides=changes)
    nlp = spacy.load(tmp_path / "out" / "model-last")
    assert nlp.get_pipe("transformer").listening_components == ["ner", "metaie"]
    assert nlp.meta["performance"]["spans_metaie_f"] == 1.0
    calls = []
    transformer = nlp.get_pipe("transformer").model
    forward = transformer._func
    transformer._func = lambda model, docs, is_train: calls.append(len(docs)) or forward(model, docs, is_train)
    doc = nlp(TRAIN[0][0])
    assert calls == [1] and answers(doc) == TRAIN[0][1]
    assert [ent.text for ent in doc.ents] == ["Ada Lovelace", "London"]
    nlp.replace_listeners("transformer", "metaie", ["model.tok2vec"])
    assert answers(nlp(TRAIN[0][0])) == TRAIN[0][1]


def test_untrained_shared_transformer_says_what_to_do(encoders):
    nlp = shared(encoders["bert"], CNN, ["person"])
    nlp.get_pipe("metaie").weights = "en_metaie_sm"
    with pytest.raises(ValueError, match="train the component first"):
        nlp("Ada flew.")


def test_vectors_of_another_width_are_refused(encoders, tmp_path):
    nlp = shared(encoders["bert"], CNN, ["person"])
    nlp.initialize(lambda: [annotated(nlp, *TRAIN[0])])
    nlp.get_pipe("metaie").model.shims[0].module.token_width = 99
    with pytest.raises(ValueError, match="48 wide, but this component was trained on 99"):
        nlp("Ada flew.")
