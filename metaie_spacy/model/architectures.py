"""Architectures: the torch modules as thinc models.

Each has these attrs, by which the component asks and trains it, whatever it reads:
score (Callable): model, docs, queries of each doc, `predict.Kept` or None -> `spans.Logits`.
score_links (Callable): model, docs, heads, queries of each head, `predict.Kept` or None -> `spans.Logits` of each head.
training_input (Callable): model, docs, their items, a function that makes a batch of items -> the batch, and its
    texts in the form that the model's forward pass takes.
prepare (Callable): model, some docs -> None: learn what is learned from texts before weights are loaded.
one_step (bool): the docs of a batch go through together, as another component has computed their vectors together.
"""

from typing import Any, Callable, Sequence

import numpy as np
from spacy.tokens import Doc
from thinc.api import ArgsKwargs, Model, torch2xp, xp2torch

from ..data.items import Item
from .defaults import (
    DROPOUT,
    HEAD_INNER,
    HEAD_WIDTH,
    LABEL_BUDGET,
    LABEL_CACHE,
    OVERLAP,
    TOKEN_BUDGET,
    WINDOW,
    check_limits,
)
from .dtypes import COMPUTE_DTYPES
from .modules import CrossEncoder, LabelToSpan
from .packed import Texts
from .predict import score_docs
from .predict_links import score_links
from .shim import MetaIEShim
from .windows import cut_items


def build_label_to_span(
    name: str,
    text_sees_labels: bool | None = None,
    dropout: float = DROPOUT,
    window: int = WINDOW,
    overlap: int = OVERLAP,
    token_budget: int = TOKEN_BUDGET,
    label_budget: int = LABEL_BUDGET,
    label_cache: int = LABEL_CACHE,
    save_dtype: str = "float32",
    compute_dtype: str = "auto",
) -> Model:
    """`metaie-spacy.LabelToSpan.v1`: every label is encoded once for all texts, which may attend to it.

    name (str): Hugging Face name or directory of the encoder that training starts from.
    text_sees_labels (bool | None): whether a text's states depend on the labels asked. None: as the weights
        that are loaded; a training from the encoder's own weights takes `defaults.TEXT_SEES_LABELS`.
    dropout (float): of the hidden states and heads, while training.
    window (int): most pieces of one pass over a text; longer texts are read in windows, see `split_windows`.
        Best near the length of the training passages: what lies beyond was not learned.
    overlap (int): pieces that two windows share.
    token_budget (int): most pieces, padding included, of the texts of one batch; on a CPU a batch
        whose states fit its cache is fastest, a GPU wants more.
    label_budget (int): most label pieces asked in one pass where a text sees them; further labels take another pass.
        A text that sees none is read once for all labels.
    label_cache (int): most MiB of encoded labels that are kept between calls; a label takes some 50
        KiB, so that 256 hold about 5,000.
    save_dtype (str): "float16" or "float32", the type of saved weights.
    compute_dtype (str): what predictions are computed in: "float32"; "auto", which is the same; "bfloat16", faster on
        hardware that has units for it, where scores move a little with the texts that share a batch; or "int8"
        (CPU only).
    RETURNS (Model): (Texts, labels, asked) -> logits (W, U, 2).
    """
    options = {
        "text_sees_labels": text_sees_labels,
        "head_inner": HEAD_INNER,
        "head_width": HEAD_WIDTH,
        "dropout": dropout,
    }
    limits = {
        "window": window,
        "overlap": overlap,
        "token_budget": token_budget,
        "label_budget": label_budget,
        "label_cache": label_cache,
    }
    return _build(LabelToSpan, name, options, limits, save_dtype, compute_dtype)


def build_cross_encoder(
    name: str,
    dropout: float = DROPOUT,
    window: int = WINDOW,
    overlap: int = OVERLAP,
    token_budget: int = TOKEN_BUDGET,
    save_dtype: str = "float32",
    compute_dtype: str = "auto",
) -> Model:
    """`metaie-spacy.CrossEncoder.v1`: the paper's form (arXiv 2404.00457), one pass per text and label.

    Arguments as in `LabelToSpan.v1`.
    """
    options = {"head_inner": HEAD_INNER, "dropout": dropout}
    limits = {
        "window": window,
        "overlap": overlap,
        "token_budget": token_budget,
        "label_budget": window,
        "label_cache": 0,
    }
    return _build(CrossEncoder, name, options, limits, save_dtype, compute_dtype)


def _build(module_cls: type, name: str, options: dict, limits: dict, save_dtype: str, compute_dtype: str) -> Model:
    if save_dtype not in ("float16", "float32"):
        raise ValueError(f"save_dtype is '{save_dtype}'; use 'float16' or 'float32'.")
    if compute_dtype not in COMPUTE_DTYPES:
        raise ValueError(f"compute_dtype is '{compute_dtype}'; use one of {', '.join(COMPUTE_DTYPES)}.")
    check_limits(limits, options["dropout"])
    if limits["overlap"] >= limits["window"] // 2:
        raise ValueError(
            f"overlap ({limits['overlap']}) must be at least 0 and less than half of window ({limits['window']})."
        )
    return Model(
        "metaie",
        forward,
        init=init,
        attrs={
            "score": score_docs,
            "score_links": score_links,
            "training_input": training_input,
            "prepare": prepare,
            "one_step": False,
        },
        shims=[MetaIEShim(module_cls, name, options, limits, save_dtype=save_dtype, compute_dtype=compute_dtype)],
    )


def init(model: Model, X=None, Y=None) -> None:
    """Load the encoder's published weights, unless weights are there."""
    if not model.shims[0].loaded:
        model.shims[0].load_encoder()


def prepare(model: Model, docs: Sequence[Doc]) -> None:
    """Nothing: the encoder's config has all sizes."""


def training_input(model: Model, docs: Sequence[Doc], items: Sequence[Item], make_batch: Callable) -> tuple[Any, Texts]:
    """The batch of items, longer ones cut into windows, and its packed texts."""
    shim = model.shims[0]
    batch = make_batch(cut_items(items, shim.pieces, shim.module.text_room)).to(shim.device)
    return batch, batch.texts


def forward(model: Model, inputs: tuple, is_train: bool) -> tuple[np.ndarray, Callable]:
    """(texts, labels, asked) -> logits; labels are strings in prediction, packed in training."""
    shim = model.shims[0]
    output, torch_backprop = shim(ArgsKwargs(args=inputs, kwargs={}), is_train)

    def backprop(d_logits) -> None:
        grads = xp2torch(d_logits, device=output.device)
        torch_backprop(ArgsKwargs(args=((output,),), kwargs={"grad_tensors": (grads,)}))

    return torch2xp(output), backprop
