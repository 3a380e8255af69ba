"""The head pass: against an oracle, whatever shares a batch, kept states, saved and loaded."""

import numpy as np
import pytest
import spacy
import torch
from helpers import SENTENCES, library, wake

from metaie_spacy.data.items import Item, Question
from metaie_spacy.model.links import N_BUCKETS, Kept, distance_buckets
from metaie_spacy.model.modules import CrossEncoder, LabelToSpan
from metaie_spacy.model.pieces import WordPieces, load_tokenizer
from metaie_spacy.model.shim import MetaIEShim
from metaie_spacy.train.batches import link_batch

RELATIONS = ("employer", "date of birth", "what hurt")
LIMITS = {"window": 96, "overlap": 32, "token_budget": 256, "label_budget": 256, "label_cache": 16}


def fresh(encoders, family="bert", sees=False, layer=1, **limits):
    """A pipeline with an untrained component whose model has a head pass."""
    nlp = spacy.blank("en")
    config = {"model": {"name": encoders[family], "text_sees_labels": sees, **limits}, "weights": None}
    pipe = nlp.add_pipe("metaie", config=config)
    nlp.initialize()
    module = pipe.model.shims[0].module
    module.add_links(layer)
    wake(module)
    torch.nn.init.normal_(module.links.relation.weight, std=0.05)
    pipe.model.shims[0].forget()
    return nlp, pipe


def asked(pipe, docs, heads, queries=None, kept=None):
    """Head -> logits by relation and token."""
    found = {}
    for part in pipe.model.attrs["score_links"](pipe.model, docs, heads, queries or [RELATIONS] * len(heads), kept):
        for u, label in enumerate(part.labels):
            found[part.text, label] = dict(zip(part.tokens, part.values[:, u]))
    return found


def differ(one, other):
    assert one.keys() == other.keys()
    return max(float(np.abs(one[key][i] - other[key][i]).max()) for key in one for i in one[key])


def oracle(module, pieces, words, head, labels):
    """The text alone, its head told, layer by layer through the library's own modules."""
    texts, _ = pieces.texts([words])
    sizes = [len(ids) for ids in pieces(words)]
    start, end = 1 + sum(sizes[: head[0]]), 1 + sum(sizes[: head[1]])
    x, _ = module.inputs(texts)
    x, n = x[None], module.options["link_layer"]
    layers = library(module).encoder.layer
    for layer in layers[:n]:
        x = layer(x)[0]
        x = x if x.ndim == 3 else x[None]
    steps = [0 if start <= i < end else (i - start if i < start else i - end + 1) for i in range(x.shape[1])]
    limits = [1, 2, 3, 5, 8, 12, 18, 27, 45]
    signed = [(1 if d > 0 else -1) * (1 + sum(abs(d) > limit for limit in limits)) if d else 0 for d in steps]
    x = x + module.links.distance.weight[torch.tensor(signed) + 10][None]
    layers[n:].load_state_dict(module.links.layers.state_dict())
    for layer in layers[n:]:
        x = layer(x)[0]
        x = x if x.ndim == 3 else x[None]
    tokens = module.links.token_head(x[0][texts.first]).unflatten(-1, (2, -1))
    vectors = module.encode_labels(pieces.labels(labels)).vectors
    vectors = vectors + module.links.relation(vectors.flatten(1)).view_as(vectors)
    return torch.einsum("wkd,ukd->wuk", tokens, vectors) / vectors.shape[-1] ** 0.5 + module.links.bias


@pytest.mark.parametrize("family", ["bert", "electra", "roberta"])
@pytest.mark.parametrize("sees", [True, False])
def test_the_head_pass_agrees_with_the_oracle(encoders, family, sees):
    nlp, pipe = fresh(encoders, family, sees)
    doc, shim = nlp.make_doc(SENTENCES[0]), pipe.model.shims[0]
    words = [token.text for token in doc]
    found = asked(pipe, [doc], [(0, 1, 3)])
    with torch.no_grad():
        expected = oracle(shim.module, shim.pieces, words, (1, 3), RELATIONS)
    assert expected.std() > 0.1  # there is something to compare
    for u, label in enumerate(RELATIONS):
        values = np.array([found[0, label][i] for i in sorted(found[0, label])])
        assert np.abs(values - expected[:, u].numpy()).max() < 1e-4


def test_two_heads_of_one_text_are_answered_differently(encoders):
    nlp, pipe = fresh(encoders)
    doc = nlp.make_doc(SENTENCES[0])
    found = asked(pipe, [doc], [(0, 0, 1), (0, len(doc) - 2, len(doc) - 1)])
    assert all(
        np.abs(found[0, label][i] - found[1, label][i]).max() > 1e-3 for label in RELATIONS for i in found[0, label]
    )


def test_what_shares_a_batch_changes_no_score(encoders):
    nlp, pipe = fresh(encoders)
    docs = [nlp.make_doc(text) for text in SENTENCES[:4]]
    heads = [(i, start, start + 1) for i, doc in enumerate(docs) for start in range(len(doc))]
    together = asked(pipe, docs, heads)
    for number, head in enumerate(heads[::7]):
        alone = asked(pipe, docs, [head], [RELATIONS[:1]])
        own = {key: value for key, value in together.items() if key == (heads.index(head), RELATIONS[0])}
        assert differ(alone, {(0, RELATIONS[0]): list(own.values())[0]}) < 1e-4, number


def test_kept_states_give_the_scores_of_a_second_reading(encoders):
    nlp, pipe = fresh(encoders)
    docs = [nlp.make_doc(text) for text in SENTENCES[:3]]
    heads, kept = [(0, 0, 1), (1, 1, 2), (2, 0, 2)], Kept()
    list(pipe.model.attrs["score"](pipe.model, docs, [("person",)] * 3, kept))
    assert sorted(kept.states) == [0, 1, 2]
    again = asked(pipe, docs, heads)
    shim = pipe.model.shims[0]
    shim.link_states = None  # is not called
    assert differ(asked(pipe, docs, heads, kept=kept), again) < 1e-4


@pytest.mark.parametrize("sees", [True, False])
def test_texts_and_parts_of_long_texts_are_read_once_for_all_calls_about_their_heads(encoders, sees):
    nlp, pipe = fresh(encoders, sees=sees, window=16, overlap=4)
    docs, kept = [nlp.make_doc(text) for text in (SENTENCES[0], " ".join(SENTENCES * 4))], Kept()
    heads = [(0, 0, 1), (1, 60, 61)]
    first = asked(pipe, docs, heads, kept=kept)
    assert len(kept.states) == 2
    shim = pipe.model.shims[0]
    calls, link_states = [], shim.link_states
    shim.link_states = lambda texts: calls.append(len(texts.lengths)) or link_states(texts)
    assert differ(asked(pipe, docs, heads, kept=kept), first) < 1e-5 and not calls
    assert differ(asked(pipe, docs, heads), first) < 1e-4 and sum(calls) == 2
    calls.clear()
    asked(pipe, docs, [*heads, (1, 0, 1)], kept=kept)
    assert calls == [1]  # the part that is new alone


def test_states_that_would_take_too_much_memory_are_not_kept(monkeypatch):
    monkeypatch.setattr("metaie_spacy.model.links.KEPT", 10)
    kept = Kept()
    for number in range(3):
        kept.add(number, torch.zeros(4, 8))
    assert sorted(kept.states) == [0, 1] and sorted(kept.of([1, 2]).states) == [0]


def test_a_hundred_relations_of_a_head_share_its_pass(encoders):
    nlp, pipe = fresh(encoders)
    doc, module = nlp.make_doc(SENTENCES[0]), pipe.model.shims[0].module
    queries = tuple(f"{word} {number}" for number in range(50) for word in ("employer", "date"))
    passes, about = [], module.about
    module.about = lambda headed, states: passes.append(len(headed.heads.text)) or about(headed, states)
    found = asked(pipe, [doc], [(0, 0, 1)], [queries])
    assert passes == [1] and {label for _, label in found} == set(queries)
    alone = asked(pipe, [doc], [(0, 0, 1)], [queries[:1]])
    assert differ(alone, {(0, queries[0]): found[0, queries[0]]}) < 1e-4


def test_states_are_not_kept_where_they_depend_on_what_was_asked(encoders):
    nlp, pipe = fresh(encoders, sees=True)
    docs, kept = [nlp.make_doc(SENTENCES[0])], Kept()
    list(pipe.model.attrs["score"](pipe.model, docs, [("person",)], kept))
    assert not kept.states


def test_a_long_text_is_read_around_the_head(encoders):
    nlp, pipe = fresh(encoders, window=16, overlap=4)
    doc = nlp.make_doc(" ".join(SENTENCES * 6))
    middle = len(doc) // 2
    found = asked(pipe, [doc], [(0, middle, middle + 1)])
    tokens = sorted(found[0, RELATIONS[0]])
    assert tokens[0] <= middle <= tokens[-1]
    assert tokens == list(range(tokens[0], tokens[-1] + 1)) and 8 < len(tokens) < len(doc)


@pytest.mark.parametrize("head", [(0, 0, 10_000), (0, 200, 10_000)])
def test_a_head_longer_than_any_window_is_answered(encoders, head):
    nlp, pipe = fresh(encoders, window=16, overlap=4)
    doc = nlp.make_doc(" ".join(SENTENCES * 20))
    found = asked(pipe, [doc], [(head[0], head[1], min(head[2], len(doc)))])
    assert all(np.isfinite(value).all() for own in found.values() for value in own.values())


def test_heads_and_texts_without_anything_to_read_get_no_answer(encoders):
    nlp, pipe = fresh(encoders)
    docs = [nlp.make_doc("  \n "), nlp.make_doc(SENTENCES[0])]
    assert asked(pipe, docs, []) == {}
    assert asked(pipe, docs, [(0, 0, 1)]) == {}
    assert asked(pipe, docs, [(1, 0, 1)], [()]) == {}


def test_distances_to_each_side_have_buckets_of_their_own():
    positions = torch.arange(200)
    found = distance_buckets(positions, torch.full((200,), 100), torch.full((200,), 102)).tolist()
    assert found[100] == found[101] == N_BUCKETS // 2
    assert found[99] == N_BUCKETS // 2 - 1 and found[102] == N_BUCKETS // 2 + 1
    assert found == sorted(found) and (found[0], found[-1]) == (0, N_BUCKETS - 1)
    assert set(found) == set(range(N_BUCKETS))


def test_saved_weights_keep_the_head_pass(encoders, tmp_path):
    nlp, pipe = fresh(encoders)
    docs = [nlp.make_doc(SENTENCES[0])]
    before = asked(pipe, docs, [(0, 0, 1)])
    pipe.model.shims[0].link_calibration = {"bias": 0.25, "head": 1.0}
    nlp.to_disk(tmp_path / "nlp")
    other = spacy.load(tmp_path / "nlp").get_pipe("metaie")
    assert other.model.shims[0].binds
    assert other.model.shims[0].link_calibration == {"bias": 0.25, "head": 1.0}
    assert differ(asked(other, docs, [(0, 0, 1)]), before) < 1e-5


def test_weights_without_a_head_pass_say_so(encoders):
    nlp = spacy.blank("en")
    pipe = nlp.add_pipe("metaie", config={"model": {"name": encoders["bert"]}, "weights": None})
    nlp.initialize()
    assert not pipe.model.shims[0].binds
    with pytest.raises(ValueError, match="no head pass"):
        asked(pipe, [nlp.make_doc(SENTENCES[0])], [(0, 0, 1)])
    assert not CrossEncoder.binds


def test_a_layer_that_the_encoder_lacks_is_refused(encoders):
    pieces = WordPieces(load_tokenizer(encoders["bert"]))
    options = {"text_sees_labels": False, "head_inner": 8, "head_width": 8, "dropout": 0.0}
    model = LabelToSpan.from_pretrained(encoders["bert"], options | {"cls_id": pieces.cls_id, "sep_id": pieces.sep_id})
    for layer in (-1, model.config.num_hidden_layers):
        with pytest.raises(ValueError, match="link_layer must be from 0"):
            model.add_links(layer)


def test_an_update_of_the_labels_head_leaves_the_head_pass_alone(encoders):
    shim = MetaIEShim(LabelToSpan, encoders["bert"], {"text_sees_labels": False, "head_inner": 8, "head_width": 8, "dropout": 0.0}, LIMITS, save_dtype="float32", compute_dtype="float32")  # fmt: skip
    shim.load_encoder()
    shim.module.add_links(1)
    names = {name for name, _ in shim.module.named_parameters() if name.startswith("links.")}
    pieces = shim.pieces
    logits = shim.module(pieces.texts([["Ada", "met", "Marie"]])[0], pieces.labels(["person"]))
    logits.sum().backward()
    assert names and all(dict(shim.module.named_parameters())[name].grad is None for name in names)


def test_a_batch_of_questions_marks_each_heads_tails(encoders):
    pieces = WordPieces(load_tokenizer(encoders["bert"]))
    words = "Ada works for Acme and Marie for Globex".split()
    item = Item("1", words, [], [], links=[
        Question(0, 1, "employer", ((3, 4),)), Question(5, 6, "employer", ((7, 8),)), Question(5, 6, "spouse", ()),
    ])  # fmt: skip
    batch = link_batch([item], pieces)
    tags = batch.tags.view(2, len(words), 2)  # head, token, relation: employer, spouse
    assert tags[0, :, 0].tolist() == [0, 0, 0, 1, 0, 0, 0, 0]
    assert tags[1, :, 0].tolist() == [0, 0, 0, 0, 0, 0, 0, 1]
    assert not tags[:, :, 1].any()
    # Ada's spouse was not asked: nothing is learned of it.
    assert batch.weights.view(2, len(words), 2)[0, :, 1].sum() == 0
    assert batch.weights.view(2, len(words), 2)[1, :, 1].sum() == len(words)
