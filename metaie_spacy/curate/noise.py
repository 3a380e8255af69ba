"""Labels that do not explain their spans: how much better a model does with the label than without."""

from typing import TYPE_CHECKING, Iterator, Sequence

import numpy as np
from tqdm import tqdm

from ..data.ledger import Ledger, Sourced
from ..data.tokens import make_doc
from ..model.defaults import O_WEIGHT
from ..pipelines import metaie_of

if TYPE_CHECKING:
    from spacy.language import Language
    from spacy.tokens import Doc

    from ..component import MetaIE


WORD_FOR_NOTHING = "thing"  # where a tokenizer has no mask
PART = 512  # rows whose logits are held at a time


def drop_noise(
    items: Sequence[Sourced], nlp: "Language", bound: float, ledger: Ledger, *, progress: bool = False
) -> list[Sourced]:
    """The rows without the labels whose ratio (see `label_ratios`) is over a bound.

    Spans of such a label go to the ledger as "noise", the label is noted in the row's `dropped`;
    a row that would lose all its spans goes as a whole.

    nlp (Language): a pipeline that was NOT trained on these rows. A model that was has learned their
        errors by heart, and finds less noise than there is.
    """
    kept = []
    for item, ratios in zip(items, label_ratios([item.row for item in items], nlp, progress=progress)):
        noisy = {label: round(ratio, 4) for label, ratio in ratios.items() if ratio > bound}
        spans = [span for span in item.row["spans"] if span["label"] not in noisy]
        if noisy and not spans:
            ledger.drop_row(item, "noise", noisy)
            continue
        notes = list(item.row.get("dropped", []))
        for span in item.row["spans"]:
            if span["label"] in noisy:
                ledger.drop_span(item, span, "noise", noisy[span["label"]])
                notes.append(
                    {"label": span["label"], "span": item.row["text"][span["start"] : span["end"]], "why": "noise"}
                )
        if noisy:
            left = [label for label in item.row.get("asked", []) if label not in noisy]
            asked = {"asked": left} if "asked" in item.row else {}
            gone = [
                {"start": span["start"], "end": span["end"], "label": span["label"]}
                for span in item.row["spans"]
                if span["label"] in noisy
            ]
            unsure = {"unsure": [*item.row.get("unsure", []), *gone]}  # nobody knows what is there
            item = item._replace(row={**item.row, "spans": spans, **asked, **unsure, "dropped": notes})
        kept.append(item)
    return kept


def label_ratios(rows: Sequence[dict], nlp: "Language", *, progress: bool = False) -> Iterator[dict[str, float]]:
    """IFD for a tagger: a label's loss when the model is asked it, over that when asked a blank query.

    Instruction-following difficulty (Li et al., arXiv 2308.12032), taken from answers of an LLM to
    tags. 1 and more: the label's wording does not help to find its spans. The blank query is the
    encoder's mask token. Where 30 % of the labels of 250 rows were swapped at random, ratios to it told
    swapped from true ones with an AUC of 0.95 (rows like those of the training) and 0.88 (others), to
    the word "thing" with 0.93 and 0.85; at a bound of 1 it finds 80 % and 77 % of the swapped ones and
    takes 8 % and 18 % of the true ones along.

    YIELDS (dict): per row, label -> ratio. A label is left out that cannot be asked (it is longer
        than the window) or none of whose spans stand on token boundaries.
    """
    bar = tqdm(total=len(rows), desc="noise", unit="text", mininterval=5, disable=not progress)
    for start in range(0, len(rows), PART):
        part = rows[start : start + PART]
        yield from _ratios(part, nlp)
        bar.update(len(part))
    bar.close()


def _ratios(rows: Sequence[dict], nlp: "Language") -> list[dict[str, float]]:
    from ..model.predict import score_texts

    pipe = metaie_of(nlp)
    if pipe.model.has_ref("tok2vec"):
        raise ValueError("A SharedTransformer cannot rate labels; give a pipeline with LabelToSpan or CrossEncoder.")
    docs = [make_doc(nlp, row["text"]) for row in rows]
    texts = [[token.text for token in doc] for doc in docs]
    own = [
        tuple(label for label in dict.fromkeys(s["label"] for s in row["spans"]) if _askable(label, pipe))
        for row in rows
    ]
    nothing = blank_query(pipe)
    # Asked alone: beside the label it would profit from it, as texts see all labels that are asked together.
    blank = {found.text: found.values for found in score_texts(pipe.model, texts, [(nothing,)] * len(rows))}
    ratios: list[dict[str, float]] = [{} for _ in rows]
    for i, labels, tokens, logits in score_texts(pipe.model, texts, own):
        tags = np.stack([_tags(docs[i], rows[i]["spans"], label, tokens) for label in labels], axis=1)
        losses = tag_losses(logits, tags) / np.maximum(tag_losses(blank[i].repeat(len(labels), 1), tags), 1e-6)
        ratios[i] |= {label: float(ratio) for label, ratio, found in zip(labels, losses, tags.any(0)) if found}
    return ratios


def tag_losses(logits: np.ndarray, tags: np.ndarray) -> np.ndarray:
    """Cross-entropy of each label's column, weighted as in training.

    logits (ndarray): B and I against O = 0, (W, U, 2). tags (ndarray): 0 = O, 1 = B, 2 = I, (W, U).
    RETURNS (ndarray): (U,).
    """
    full = np.concatenate([np.zeros((*logits.shape[:2], 1)), logits], axis=-1)
    top = full.max(-1)
    log_sum = top + np.log(np.exp(full - top[..., None]).sum(-1))
    losses = log_sum - np.take_along_axis(full, tags[..., None], -1)[..., 0]
    weights = np.where(tags == 0, O_WEIGHT, 1.0)
    return (losses * weights).sum(0) / weights.sum(0)


def _tags(doc: "Doc", spans: Sequence[dict], label: str, tokens: Sequence[int]) -> np.ndarray:
    """O, B and I of one label on the scored tokens, (W,)."""
    place = {token: i for i, token in enumerate(tokens)}
    tags = np.zeros(len(tokens), dtype="int64")
    for span in spans:
        found = doc.char_span(span["start"], span["end"]) if span["label"] == label else None
        places = [place[i] for i in range(found.start, found.end) if i in place] if found is not None else []
        tags[places] = 2
        tags[places[:1]] = 1
    return tags


def blank_query(pipe: "MetaIE") -> str:
    """A label that says nothing: the mask token, where the tokenizer reads it as one piece."""
    pieces = pipe.model.shims[0].pieces
    mask = pieces.tokenizer.mask_token
    return mask if mask and pieces.label(mask)[1:] == (pieces.tokenizer.mask_token_id,) else WORD_FOR_NOTHING


def _askable(label: str, pipe: "MetaIE") -> bool:
    shim = pipe.model.shims[0]
    return 1 < len(shim.pieces.label(label)) <= shim.module.label_room
