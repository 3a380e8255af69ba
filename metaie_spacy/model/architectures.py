"""Architectures: the torch modules as thinc models."""
from typing import Callable

import numpy as np
from thinc.api import ArgsKwargs, Model, torch2xp, xp2torch

from .dtypes import COMPUTE_DTYPES
from .modules import CrossEncoder, LabelToSpan
from .shim import MetaIEShim


def build_label_to_span(
    name: str,
    text_sees_labels: bool | None = None,
    dropout: float = 0.1,
    window: int = 96,
    overlap: int = 32,
    token_budget: int = 1024,
    label_budget: int = 256,
    label_cache: int = 256,
    save_dtype: str = "float32",
    compute_dtype: str = "auto",
) -> Model:
    """`metaie-spacy.LabelToSpan.v1`: every label is encoded once for all texts, which may attend to it.

    name (str): Hugging Face name or directory of the encoder that training starts from.
    text_sees_labels (bool | None): whether a text's states depend on the labels asked. None: as the weights
        that are loaded; a training from the encoder's own weights takes `encoder.TEXT_SEES_LABELS`.
    dropout (float): of the hidden states and heads, while training.
    window (int): most pieces of one pass over a text; longer texts are read in overlapping windows.
        Best near the length of the training passages: what lies beyond was not learned.
    overlap (int): pieces that two windows share.
    token_budget (int): most pieces, padding included, of the texts of one batch; on a CPU a batch
        whose states fit its cache is fastest, a GPU wants more.
    label_budget (int): most label pieces asked in one pass; further labels take another pass.
    label_cache (int): most MiB of encoded labels that are kept between calls; a label takes some 50
        KiB, so that 256 hold about 5,000.
    save_dtype (str): "float16" or "float32", the type of saved weights.
    compute_dtype (str): what predictions are computed in: "float32"; "bfloat16"; "auto", that is,
        bfloat16 where a short measurement finds it faster; or "int8" (CPU only).
    RETURNS (Model): (Texts, labels, asked) -> logits (W, U, 2).
    """
    options = {"text_sees_labels": text_sees_labels, "head_inner": 512, "head_width": 256, "dropout": dropout}
    limits = {"window": window, "overlap": overlap, "token_budget": token_budget, "label_budget": label_budget, "label_cache": label_cache}
    return _build(LabelToSpan, name, options, limits, save_dtype, compute_dtype)



def build_cross_encoder(
    name: str,
    dropout: float = 0.1,
    window: int = 96,
    overlap: int = 32,
    token_budget: int = 1024,
    save_dtype: str = "float32",
    compute_dtype: str = "auto",
) -> Model:
    """`metaie-spacy.CrossEncoder.v1`: the paper's form (arXiv 2404.00457), one pass per text and label.

    Arguments as in `LabelToSpan.v1`.
    """
    options = {"head_inner": 512, "dropout": dropout}
    limits = {"window": window, "overlap": overlap, "token_budget": token_budget, "label_budget": window, "label_cache": 0}
    return _build(CrossEncoder, name, options, limits, save_dtype, compute_dtype)



def _build(module_cls: type, name: str, options: dict, limits: dict, save_dtype: str, compute_dtype: str) -> Model:
    if save_dtype not in ("float16", "float32"):
        raise ValueError(f"save_dtype is '{save_dtype}'; use 'float16' or 'float32'.")
    if compute_dtype not in COMPUTE_DTYPES:
        raise ValueError(f"compute_dtype is '{compute_dtype}'; use one of {', '.join(COMPUTE_DTYPES)}.")
    if not 0 <= limits["overlap"] < limits["window"] // 2:
        raise ValueError(f"overlap ({limits['overlap']}) must be at least 0 and less than half of window ({limits['window']}).")
    return Model(
        "metaie",
        forward,
        init=init,
        shims=[MetaIEShim(module_cls, name, options, limits, save_dtype=save_dtype, compute_dtype=compute_dtype)],
    )



def init(model: Model, X=None, Y=None) -> None:
    """Load the encoder's published weights, unless weights are there."""
    if not model.shims[0].loaded:
        model.shims[0].load_encoder()



def forward(model: Model, inputs: tuple, is_train: bool) -> tuple[np.ndarray, Callable]:
    """(texts, labels, asked) -> logits; labels are strings in prediction, packed in training."""
    shim = model.shims[0]
    output, torch_backprop = shim(ArgsKwargs(args=inputs, kwargs={}), is_train)

    def backprop(d_logits) -> None:
        grads = xp2torch(d_logits, device=output.device)
        torch_backprop(ArgsKwargs(args=((output,),), kwargs={"grad_tensors": (grads,)}))

    return torch2xp(output), backprop
