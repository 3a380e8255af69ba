"""Architectures: the torch modules as thinc models, and the batches that they predict in."""
import json
import warnings
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Callable, Collection, Iterator, Sequence

import numpy as np
import srsly
import torch
from spacy.tokens import Doc
from thinc.api import ArgsKwargs, Config, Model, torch2xp, xp2torch

from .encoder import saved_config
from .heads import CrossEncoder, LabelToSpan
from .pieces import WordPieces
from .precision import COMPUTE_DTYPES
from .shim import MetaIEShim
from .windows import split_windows

MAX_SPREAD = 16  # different label sets that one batch mixes


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


def chunk_labels(labels: Collection[str], pieces: WordPieces, budget: int, window: int) -> list[tuple[str, ...]]:
    """Queries deduplicated, sorted, and cut into chunks of about equal size that fit a budget of pieces.

    RAISES (ValueError): a label is longer than the encoder's window, or has no pieces.
    """
    ordered = sorted(set(labels))
    sizes = [len(pieces.label(label)) for label in ordered]
    for label, size in zip(ordered, sizes):
        if size > window:
            raise ValueError(
                f"The label '{label[:60]}...' has {size} pieces, but the encoder's window has room for {window}. Shorten it."
            )
        if size == 1:
            raise ValueError(f"The label {label!r} holds nothing that the encoder's tokenizer can read.")
    n_chunks = -(-sum(sizes) // budget) if sizes else 0
    chunks: list[list[str]] = [[] for _ in range(n_chunks)]
    total = 0
    for label, size in zip(ordered, sizes):
        chunks[min(n_chunks - 1, total * n_chunks // sum(sizes))].append(label)
        total += size
    return [tuple(chunk) for chunk in chunks if chunk]


def score_docs(
    model: Model, docs: Sequence[Doc], labels: Sequence[Collection[str]]
) -> Iterator[tuple[int, tuple[str, ...], list[int], np.ndarray]]:
    """Logits of every doc for its own labels, as `score_texts` gives them."""
    if not model.has_ref("tok2vec"):
        yield from score_texts(model, [[token.text for token in doc] for doc in docs], labels)
        return
    from .shared import score_shared

    shim, chunked = model.shims[0], {}
    for asked in labels:
        if id(asked) not in chunked:
            chunked[id(asked)] = chunk_labels(asked, shim.pieces, shim.limits["label_budget"], shim.module.window)
    yield from score_shared(model, docs, [chunked[id(asked)] for asked in labels])


def score_texts(
    model: Model, texts: Sequence[Sequence[str]], labels: Sequence[Collection[str]]
) -> Iterator[tuple[int, tuple[str, ...], list[int], np.ndarray]]:
    """Logits of every text for its own labels, in length-bucketed batches under a token budget.

    model (Model): one of the architectures. texts (Sequence[Sequence[str]]): words of each text.
    labels (Sequence[Collection[str]]): the queries asked of each text; texts that share one object
        share the work of cutting it into chunks.
    YIELDS (tuple): text index, chunk of labels, indices of the scored words, logits (W, U, 2); a
        text comes once per chunk of its labels.
    """
    shim, limits = model.shims[0], model.shims[0].limits
    pieces, label_room = shim.pieces, shim.module.label_room
    limit = min(limits["window"] - 2, shim.module.text_room)
    windows, scored = [], []
    for i, words in enumerate(texts):
        sizes = [len(ids) for ids in pieces(words)]
        scored.append([j for j, size in enumerate(sizes) if size])
        if scored[-1]:
            windows.append(split_windows(sizes, limit, min(limits["overlap"], limit // 2 - 1), i))
    by_text = {parts[0].text: parts for parts in windows}
    chunked = {}
    for i in by_text:
        if id(labels[i]) not in chunked:
            chunked[id(labels[i])] = chunk_labels(labels[i], pieces, limits["label_budget"], label_room)
    chunks = {i: chunked[id(labels[i])] for i in by_text}
    for number in range(max(map(len, chunked.values()), default=0)):
        jobs = [(part, chunks[i][number]) for i in by_text if number < len(chunks[i]) for part in by_text[i]]
        results = {}
        for part, chunk, logits, kept in _run_jobs(model, texts, jobs, limit):
            own = [k for k, j in enumerate(kept) if part.own_start <= part.start + j < part.own_end]
            results.setdefault(part.text, {})[part.start] = logits[own]
            if len(results[part.text]) == len(by_text[part.text]):
                parts = results.pop(part.text)
                yield part.text, chunk, scored[part.text], np.concatenate([parts[start] for start in sorted(parts)])


def _run_jobs(model: Model, texts, jobs: list, limit: int):
    pieces, is_cross = model.shims[0].pieces, not hasattr(model.shims[0].module, "label_head")
    for batch in _batches(jobs, model.shims[0].limits["token_budget"], is_cross, limit):
        labels = sorted({label for _, chunk in batch for label in chunk})
        packed, kept = pieces.texts([texts[part.text][part.start : part.end] for part, _ in batch])
        asked = None
        if any(len(chunk) != len(labels) for _, chunk in batch):
            members = [set(chunk) for _, chunk in batch]
            asked = torch.tensor([[label in chunk for label in labels] for chunk in members])
        logits = model.predict((packed, labels, asked))
        logits = logits if isinstance(logits, np.ndarray) else logits.get()  # CuPy's arrays live on the GPU
        column, offset = {label: u for u, label in enumerate(labels)}, 0
        for (part, chunk), words in zip(batch, kept):
            rows = logits[offset : offset + len(words)]
            offset += len(words)
            yield part, chunk, rows if asked is None else rows[:, [column[label] for label in chunk]], words


def _batches(jobs: list, budget: int, is_cross: bool, limit: int):
    """Jobs sorted by length, cut where the padded pieces or the spread of label sets grow too large."""
    ordered = sorted(jobs, key=lambda job: (job[0].size, job[1], job[0].text, job[0].start))
    batch, chunks, cost = [], set(), 0
    for job in ordered:
        passes = len(job[1]) if is_cross else 1
        wider = chunks | {job[1]}
        if batch and (job[0].size * (cost + passes) > budget or len(wider) > MAX_SPREAD):
            yield batch
            batch, wider, cost = [], {job[1]}, 0
        batch.append(job)
        chunks, cost = wider, cost + passes
    if batch:
        yield batch


def load_weights(model: Model, source: str, *, labels_only: bool = False) -> None:
    """Fill the model from a package, a pipeline directory or a directory that `distill` wrote.

    source (str): e.g. "en_metaie_sm" or a path.
    labels_only (bool): a SharedTransformer may take the label encoder of a LabelToSpan, to be
        trained from there.
    RAISES (ValueError): it is none of these, or is damaged, or of another architecture.
    """
    shim, path = model.shims[0], find_source(source)
    labels_only = labels_only and bool(model.has_ref("tok2vec"))
    if _is_bare(path):
        shim.load_directory(path, labels_only=labels_only)
        return
    name, block = _component(path)
    _warn_of_other_encoder(shim.name, block, source)
    content = (path / name / "model").read_bytes()
    message = srsly.msgpack_loads(content)
    if len(message["nodes"]) > 1:  # with a tok2vec of its own
        model.from_bytes(content)
    else:
        shim.from_bytes(message["shims"][0][0], labels_only=labels_only)


def architecture_of(source: str) -> dict[str, Any]:
    """The architecture that weights were trained with, as a block of a config: "@architectures", and what must be equal.

    source (str): a package, a pipeline directory, or what `distill` wrote as `model/`.
    RAISES (ValueError): it is none of these, or is damaged.
    """
    path = find_source(source)
    if not _is_bare(path):
        block = _component(path)[1]
        return {key: block[key] for key in ("@architectures", "text_sees_labels") if key in block}
    try:
        saved = saved_config(path).metaie
        block = {"@architectures": f"metaie-spacy.{saved['architecture']}.v1"}
        return block | ({"text_sees_labels": saved["text_sees_labels"]} if saved["architecture"] == "LabelToSpan" else {})
    except (OSError, KeyError, json.JSONDecodeError) as error:
        raise ValueError(f"The metaie model in '{path}' is damaged: config.json: {error}") from error


def _is_bare(path: Path) -> bool:
    """Whether `distill` wrote the directory; if not, it may be a pipeline."""
    return (path / "model.safetensors").exists() and not (path / "meta.json").exists()


def _component(path: Path) -> tuple[str, dict[str, Any]]:
    """Name of a saved pipeline's `metaie` component, and its block of the model."""
    config = path / "config.cfg"
    if not config.exists():
        raise ValueError(f"'{path}' is neither a spaCy pipeline nor a directory written by 'metaie_spacy distill'.")
    components = Config().from_disk(config, interpolate=False).get("components", {})
    names = [name for name, block in components.items() if block.get("factory") == "metaie"]
    if not names or not (path / names[0] / "model").exists():
        raise ValueError(f"The pipeline in '{path}' has no 'metaie' component with weights.")
    return names[0], components[names[0]].get("model", {})


def _warn_of_other_encoder(name: str, block: dict, source: str) -> None:
    saved = block.get("label_encoder", block.get("name", name))
    if saved != name:
        warnings.warn(
            f"The weights '{source}' are of the encoder '{saved}'; '{name}' in the config has no effect. "
            "To start from it, set 'weights' (in training: init_from too) to null."
        )


def find_source(source: str) -> Path:
    """The directory that holds a package's or path's pipeline.

    RAISES (ValueError): no such directory or installed package.
    """
    path = Path(source)
    if path.is_dir():
        return path
    spec = find_spec(source) if source.isidentifier() else None
    if spec is None or not spec.origin:
        raise ValueError(
            f"Cannot find the weights '{source}': no such directory, and no installed package of that name. "
            "Install the package, or set 'weights' to a directory, or to null and call nlp.initialize()."
        )
    package = Path(spec.origin).parent
    inner = [child for child in sorted(package.iterdir()) if (child / "config.cfg").exists()]
    return inner[-1] if inner else package
