"""Label-prefix attention against an independent oracle: the library's own forward with a 4-D mask."""

import pytest
import torch
from helpers import SENTENCES, library, wake
from transformers import __version__

from metaie_spacy.model.modules import CrossEncoder, LabelToSpan, label_pieces
from metaie_spacy.model.pieces import WordPieces, load_tokenizer

LABELS = ["person", "date of birth", "name of a person", "drug", "what hurt"]
FAMILIES = ("bert", "electra", "roberta")


def build(encoders, family, cls=LabelToSpan, **options):
    pieces = WordPieces(load_tokenizer(encoders[family]))
    torch.manual_seed(0)
    options = {
        "text_sees_labels": True,
        "head_inner": 24,
        "head_width": 16,
        "dropout": 0.0,
        "cls_id": pieces.cls_id,
        "sep_id": pieces.sep_id,
        **options,
    }
    model = cls.from_pretrained(encoders[family], options).eval()
    wake(model)
    return model, pieces


def oracle(model, pieces, words, labels):
    """One sequence `[labels ...][text]` through the library's own forward, masked block by block."""
    texts, _ = pieces.texts([words])
    owner, ids, positions, vectors = [], [], [], []
    encoder = library(model)
    table = encoder.get_input_embeddings()
    for u, label in enumerate(labels):
        part = pieces.label(label)
        ids += part
        owner += [u] * len(part)
        positions += range(len(part))
        vectors += [model.marker + model.segment[1]] + [table(torch.tensor(i)) + model.segment[1] for i in part[1:]]
    n_labels = len(ids)
    for i, (piece, shape) in enumerate(zip(texts.ids.tolist(), texts.shapes)):
        owner.append(-1)
        positions.append(i)
        vectors.append(table(torch.tensor(piece)) + model.segment[0] + model.shape(shape))
    owner = torch.tensor(owner)
    sees = owner[:, None] == owner[None, :]
    if model.options["text_sees_labels"]:
        sees |= (owner == -1)[:, None]
    mask = sees[None].long() if __version__ < "5" else sees[None, None]
    offset = model.config.max_position_embeddings - model.window
    states = encoder(
        inputs_embeds=torch.stack(vectors)[None], attention_mask=mask, position_ids=torch.tensor(positions)[None] + offset,
        token_type_ids=torch.zeros((1, len(positions)), dtype=torch.int64),
    ).last_hidden_state[0]  # fmt: skip
    starts = [owner.tolist().index(u) for u in range(len(labels))]
    token = model.token_head(states[n_labels + texts.first]).unflatten(-1, (2, -1))
    label = model.label_head(states[starts]).unflatten(-1, (2, -1))
    return torch.einsum("wkd,ukd->wuk", token, label) / model.options["head_width"] ** 0.5 + model.bias


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("text_sees_labels", [True, False])
def test_joint_and_cached_pass_agree_with_the_oracle(encoders, family, text_sees_labels):
    model, pieces = build(encoders, family, text_sees_labels=text_sees_labels)
    words = SENTENCES[0].split()
    with torch.no_grad():
        expected = oracle(model, pieces, words, LABELS)
        texts, _ = pieces.texts([words])
        joint = model(texts, pieces.labels(LABELS))
        cached = model(texts, model.encode_labels(pieces.labels(LABELS)))
    assert expected.std() > 0.1  # the comparison has something to compare
    assert (joint - expected).abs().max() < 1e-4
    assert (cached - joint).abs().max() < 1e-4


@pytest.mark.parametrize("family", FAMILIES)
def test_text_sees_the_labels_only_if_it_should(encoders, family):
    for sees in (True, False):
        model, pieces = build(encoders, family, text_sees_labels=sees)
        texts, _ = pieces.texts([SENTENCES[0].split()])
        with torch.no_grad():
            alone, together = model(texts, pieces.labels(LABELS[:1])), model(texts, pieces.labels(LABELS))
        difference = (alone[:, 0] - together[:, 0]).abs().max()
        assert (difference > 1e-3) if sees else (difference < 1e-5)


@pytest.mark.parametrize("cls", [LabelToSpan, CrossEncoder])
def test_asked_labels_alone_decide_a_texts_scores(encoders, cls):
    model, pieces = build(encoders, "bert", cls)
    batch = [sentence.split() for sentence in SENTENCES[:3]]
    asked = torch.tensor([[1, 1, 0, 0, 0], [0, 0, 1, 1, 1], [1, 1, 1, 1, 1]], dtype=torch.bool)
    texts, scored = pieces.texts(batch)
    with torch.no_grad():
        mixed = model(texts, pieces.labels(LABELS), asked).split([len(kept) for kept in scored])
        for b, words in enumerate(batch):
            own = [u for u in range(5) if asked[b, u]]
            alone = model(pieces.texts([words])[0], pieces.labels([LABELS[u] for u in own]))
            assert (mixed[b][:, own] - alone).abs().max() < 1e-4


def test_cross_encoder_agrees_with_the_library_on_each_pair(encoders):
    model, pieces = build(encoders, "bert", CrossEncoder)
    batch = [sentence.split() for sentence in SENTENCES[:2]]
    encoder = library(model)
    table = encoder.get_input_embeddings()
    texts, scored = pieces.texts(batch)
    with torch.no_grad():
        found = model(texts, pieces.labels(LABELS)).split([len(kept) for kept in scored])
        for b, words in enumerate(batch):
            single, _ = pieces.texts([words])
            for u, label in enumerate(LABELS):
                head = [pieces.cls_id, *pieces.label(label)[1:], pieces.sep_id]
                vectors = [table(torch.tensor(i)) + model.segment[1] + model.shape.weight[0] for i in head]
                vectors += [
                    table(i) + model.segment[0] + model.shape(s) for i, s in zip(single.ids[1:], single.shapes[1:])
                ]
                states = encoder(inputs_embeds=torch.stack(vectors)[None]).last_hidden_state[0]
                expected = model.token_head(states[len(head) - 1 + single.first]) + model.bias
                assert (found[b][:, u] - expected).abs().max() < 1e-4


def test_label_pieces_without_an_asked_label():
    index, mask = label_pieces(torch.tensor([2, 3]), torch.tensor([[False, False], [False, True]]))
    assert not mask[0].any() and index[1][mask[1]].tolist() == [2, 3, 4]


def test_unsupported_family_is_named(tmp_path):
    from transformers import DistilBertConfig, DistilBertModel

    DistilBertModel(DistilBertConfig(vocab_size=20, dim=8, n_layers=1, n_heads=2, hidden_dim=8)).save_pretrained(
        tmp_path
    )
    with pytest.raises(ValueError, match="distilbert.*use one of bert"):
        LabelToSpan.from_pretrained(str(tmp_path), {})
