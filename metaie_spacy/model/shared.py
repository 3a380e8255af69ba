"""`SharedTransformer.v1`: token vectors of any `tok2vec`, which other components may use too."""

from typing import Any, Callable, Iterator, Sequence

import numpy as np
import torch
from spacy.tokens import Doc
from thinc.api import ArgsKwargs, Model, torch2xp, xp2torch
from thinc.types import Floats2d

from ..data.items import Item
from ..spans import Logits
from .defaults import DROPOUT, HEAD_INNER, HEAD_WIDTH, LABEL_CACHE, WINDOW, check_limits
from .links import Headed, Kept
from .modules import SharedTransformer
from .packed import TokenVectors, moved
from .predict import as_numpy, label_chunks
from .predict_links import Reader, Stretch, score_heads
from .shim import MetaIEShim


def build_shared_transformer(
    tok2vec: Model[list[Doc], list[Floats2d]],
    label_encoder: str,
    dropout: float = DROPOUT,
    label_budget: int = 4096,
    label_cache: int = LABEL_CACHE,
    save_dtype: str = "float32",
) -> Model:
    """`metaie-spacy.SharedTransformer.v1`: labels matched against the vectors of any `tok2vec`.

    The texts know nothing of the labels, so that one pass of a `transformer` serves `ner` and all
    else that listens to it. Labels are read by an encoder of their own, once each. A pipeline with
    a `transformer` is as safe in threads and after forks as that component is.

    tok2vec (Model): docs -> one vector per token; often a listener.
    label_encoder (str): Hugging Face name or directory of the encoder that reads the labels.
    label_budget (int): most label pieces matched at once.
    The others as in `LabelToSpan.v1`.
    RETURNS (Model): (docs or token vectors, labels, asked) -> logits (W, U, 2).
    """
    check_limits({"label_budget": label_budget, "label_cache": label_cache}, dropout)
    options = {"text_sees_labels": False, "head_inner": HEAD_INNER, "head_width": HEAD_WIDTH, "dropout": dropout}
    shim = MetaIEShim(
        SharedTransformer,
        label_encoder,
        options,
        {"label_budget": label_budget, "label_cache": label_cache},
        save_dtype=save_dtype,
        compute_dtype="float32",
    )
    attrs = {
        "score": score_shared,
        "score_links": score_links_shared,
        "training_input": training_input,
        "prepare": set_width,
        "one_step": True,
    }
    return Model("metaie", forward, init=init, layers=[tok2vec], refs={"tok2vec": tok2vec}, attrs=attrs, shims=[shim])


def init(model: Model, X: list[Doc] | None = None, Y=None) -> None:
    """Initialize the tok2vec, and the label encoder from its published weights, unless weights are there."""
    shim = model.shims[0]
    set_width(model, X)
    if not shim.loaded:
        shim.load_encoder()


def training_input(model: Model, docs: Sequence[Doc], items: Sequence[Item], make_batch: Callable) -> tuple[Any, tuple]:
    """The batch of items, and the docs with the places of its scored tokens."""
    batch = make_batch(items).to(model.shims[0].device)
    return batch, (docs, batch.texts if isinstance(batch.texts, Headed) else batch.rows)


def set_width(model: Model, docs: Sequence[Doc] | None) -> None:
    """Learn how wide the token vectors are, from a sample of docs."""
    tok2vec = model.get_ref("tok2vec")
    docs = [doc for doc in docs or [] if len(doc)] or None
    tok2vec.initialize(X=docs)
    width = tok2vec.predict(docs)[0].shape[-1] if docs else tok2vec.get_dim("nO")
    model.shims[0].options["token_width"] = int(width)


def forward(model: Model, inputs: tuple, is_train: bool) -> tuple[np.ndarray, Callable]:
    """((docs, rows), labels, asked) -> logits.

    `rows` are the scored ones among the tokens of all docs, or a `Headed` without its states, which are their vectors.
    """
    (docs, rows), labels, asked = inputs
    vectors, backprop_vectors = model.get_ref("tok2vec")(docs, is_train)
    shim = model.shims[0]
    flat = xp2torch(model.ops.flatten(vectors), requires_grad=is_train, device=shim.device)
    if isinstance(rows, Headed):
        texts: TokenVectors | Headed = moved(rows, shim.device)._replace(states=flat)
    else:
        texts = TokenVectors(flat, rows.to(shim.device))
    output, torch_backprop = shim(ArgsKwargs(args=(texts, labels, asked), kwargs={}), is_train)

    def backprop(d_logits) -> list[Doc]:
        grads = xp2torch(d_logits, device=output.device)
        torch_backprop(ArgsKwargs(args=((output,),), kwargs={"grad_tensors": (grads,)}))
        return backprop_vectors(model.ops.unflatten(torch2xp(flat.grad), [len(doc) for doc in docs]))

    return torch2xp(output), backprop


def score_shared(
    model: Model, docs: Sequence[Doc], queries: Sequence[tuple[str, ...]], kept: Kept | None = None
) -> Iterator[Logits]:
    """As `predict.score_docs`, with one pass of the tok2vec for all labels."""
    shim = model.shims[0]
    chunks = label_chunks(queries, shim.pieces, shim.limits["label_budget"], shim.module.window)
    vectors = model.get_ref("tok2vec").predict(docs)
    for i, doc in enumerate(docs):
        pieces = shim.pieces([token.text for token in doc])
        read = [j for j, ids in enumerate(pieces) if ids]
        if not read:
            continue
        texts = TokenVectors(xp2torch(vectors[i], device=shim.device), torch.tensor(read))
        if kept is not None and shim.binds:
            kept.see(i, 0, texts.vectors, is_whole=True)
        for chunk in chunks[i]:
            logits = torch2xp(shim.predict(ArgsKwargs(args=(texts, list(chunk), None), kwargs={})))
            yield Logits(i, chunk, read, as_numpy(logits))


def score_links_shared(
    model: Model,
    docs: Sequence[Doc],
    heads: Sequence[tuple[int, int, int]],
    queries: Sequence[tuple[str, ...]],
    kept: Kept | None = None,
) -> Iterator[Logits]:
    """As `predict_links.score_links`, from the token vectors; the layers of the head pass are this model's own."""
    shim = model.shims[0]
    own = sorted({head[0] for head in heads})
    states = {} if kept is None else {i: kept.states[i] for i in own if i in kept.states}
    missing = [i for i in own if i not in states]
    vectors = model.get_ref("tok2vec").predict([docs[i] for i in missing]) if missing else []
    states |= {i: xp2torch(found, device=shim.device) for i, found in zip(missing, vectors)}
    words = {i: [token.text for token in docs[i]] for i in own}
    scored = {i: [bool(ids) for ids in shim.pieces(text)] for i, text in words.items()}

    def read(part: list[Stretch]):
        marks = [scored[s.text][s.start : s.end] for s in part]
        rows = [[j for j, is_scored in enumerate(own_marks) if is_scored] for own_marks in marks]
        lengths = torch.tensor([s.end - s.start for s in part])
        first = torch.tensor([j for row in rows for j in row], dtype=torch.int64)
        return torch.cat([states[s.text][s.start : s.end] for s in part]), lengths, first, rows

    sizes = {i: [1] * len(text) for i, text in words.items()}
    return score_heads(model, Reader(words, sizes, 0, 3 * WINDOW, read), heads, queries)
