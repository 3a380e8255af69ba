"""How trainings go. Read without torch, so that the command line can list every setting."""

import math
from dataclasses import dataclass

from ..model.defaults import DROPOUT, HEAD_SCALE, O_WEIGHT

ARCHITECTURES = ("LabelToSpan", "CrossEncoder")
ADAPTER_RANK = 16  # of an adapter's matrices
PRECISIONS = ("no", "bf16", "fp16")


@dataclass(frozen=True)
class DistillSettings:
    """What shapes the weights of a run; two runs with equal settings and corpus give equal weights.

    encoder (str): a Hugging Face name or directory. architecture (str): LabelToSpan or CrossEncoder.
    init_from (str): the `model/` of an earlier run, to go on from its weights with a new schedule;
        "": start from the encoder's own.
    text_sees_labels (bool | None): whether a text's states depend on the labels asked; None: as in the
        weights of `init_from`, without any `defaults.TEXT_SEES_LABELS`.
    epochs (float): passes over the corpus. steps (int): optimizer steps instead; 0: what `epochs` need.
    batch_size (int): texts of one step on one device.
    lr (float): peak learning rate of the encoder; the head's is `lr * head_scale`.
    warmup (float): share of the steps in which the rate rises; then it falls linearly to 0.
    o_weight (float): weight of the O tag in the loss. ema (float): decay of the averaged weights,
        which are what is saved; 0 turns averaging off.
    wordings (str): file of other wordings of labels (JSONL, see `data.wordings`). reword (float): share of the labels
        that are asked in another wording; answers stay, and synonyms are never negatives.
    link_share (float): share of the steps that ask about spans of the texts (rows with "links", and labels that name a
        span, see `data.anchored`), where the corpus has such questions; 0: the head pass is not trained.
    link_layer (int): the layer whose states the head pass reads on from; -1: two thirds of the encoder's, or as the
        weights of `init_from` have it.
    only_links (bool): all other weights stay as they are, and so do the answers for labels.
    anchored (float): how often, against rows with "links", questions of labels that name a span are asked.
    recase (float): share of the texts that are seen in lower case or in capitals.
    dev_share (float): share of the texts that is never trained on.
    mixed_precision (str): "no", "bf16" or "fp16", as in accelerate.
    """

    encoder: str
    architecture: str = "LabelToSpan"
    init_from: str = ""
    text_sees_labels: bool | None = None
    epochs: float = 4.0
    steps: int = 0
    batch_size: int = 16
    lr: float = 2e-4
    head_scale: float = HEAD_SCALE
    weight_decay: float = 0.01
    warmup: float = 0.1
    o_weight: float = O_WEIGHT
    dropout: float = DROPOUT
    recase: float = 0.0
    wordings: str = ""
    reword: float = 0.0
    link_share: float = 0.0
    link_layer: int = -1
    only_links: bool = False
    anchored: float = 0.5
    ema: float = 0.998
    dev_share: float = 0.1
    seed: int = 0
    mixed_precision: str = "no"

    def __post_init__(self):
        if self.architecture not in ARCHITECTURES:
            raise ValueError(f"architecture is '{self.architecture}'; use one of {', '.join(ARCHITECTURES)}.")
        if self.mixed_precision not in PRECISIONS:
            raise ValueError(f"mixed_precision is '{self.mixed_precision}'; use one of {', '.join(PRECISIONS)}.")
        _check(self, "epochs", above=0)
        _check(self, "steps", least=0)
        _check(self, "link_layer", least=-1)
        _check(self, "anchored", least=0)
        for name in ("recase", "reword", "warmup", "link_share"):
            _check(self, name, least=0, most=1)
        for name in ("dev_share", "dropout"):
            _check(self, name, least=0, below=1)
        if self.only_links and not (self.link_share and self.init_from):
            raise ValueError("only_links adds a head pass to weights: give init_from, and a link_share above 0.")
        if self.link_share and self.architecture == "CrossEncoder":
            raise ValueError("A CrossEncoder has no head pass: set link_share to 0.")
        _check_optimizer(self)


@dataclass(frozen=True)
class FewShotSettings:
    """How an adaptation trains.

    steps (int): optimizer steps. lr (float): learning rate of the encoder, after a warm-up of 20
        steps; the head's is `lr * head_scale`. Word vectors are not trained. link_scale (float): what asks
        about spans learns so many times as fast.
    batch_size (int): examples of one step. rehearsal (float): corpus rows per example, against
        forgetting; 0: none. Whatever their number, their loss counts as much as that of the examples.
    o_weight (float): weight of tokens outside spans in the loss; 1 keeps the number of spans right,
        less than 1 tags more. unanswered (float): questions about a span without an answer that a text asks
        at most for each one that has an answer.
    ema (float): decay of the averaged weights, which are kept in the end; 0 turns averaging off.
    blend (float): share of what was learned that is kept of labels, if the weights were trained before, above 0: 1 is
        all of it, 0.5 half the way back to these weights (WiSE-FT, arXiv 2109.01903).
    rank (int): of the change of each matrix, so that an adapter can hold it; 0: any change. rank_scale (float): the
        thin matrices of such a change learn so many times as fast.
    """

    steps: int = 100
    lr: float = 5e-5
    head_scale: float = HEAD_SCALE
    batch_size: int = 8
    rehearsal: float = 0.25
    o_weight: float = 0.5
    unanswered: float = 1.0
    link_scale: float = 1.0
    weight_decay: float = 0.01
    ema: float = 0.97
    blend: float = 0.6
    rank: int = 0
    rank_scale: float = 30.0
    seed: int = 0

    def __post_init__(self):
        _check(self, "steps", least=1)
        _check(self, "rehearsal", least=0)
        _check(self, "unanswered", least=0)
        _check(self, "link_scale", above=0)
        _check(self, "blend", above=0, most=1)
        _check(self, "rank", least=0, most=256)
        _check(self, "rank_scale", above=0)
        _check_optimizer(self)


def _check_optimizer(settings: DistillSettings | FewShotSettings) -> None:
    _check(settings, "lr", above=0, most=1)
    _check(settings, "batch_size", least=1)
    for name in ("head_scale", "o_weight"):
        _check(settings, name, above=0)
    _check(settings, "weight_decay", least=0)
    _check(settings, "ema", least=0, below=1)
    _check(settings, "seed", least=0)


def _check(
    settings: DistillSettings | FewShotSettings,
    name: str,
    *,
    least: float | None = None,
    above: float | None = None,
    most: float | None = None,
    below: float | None = None,
) -> None:
    """RAISES (ValueError): a setting is no number of its kind, or out of its range."""
    value, is_whole = getattr(settings, name), isinstance(type(settings).__dataclass_fields__[name].default, int)
    words = {"at least": least, "above": above, "at most": most, "below": below}
    limits = " and ".join(f"{word} {limit:g}" for word, limit in words.items() if limit is not None)
    is_number = isinstance(value, int if is_whole else (int, float)) and not isinstance(value, bool)
    if (
        not is_number
        or not math.isfinite(value)
        or (least is not None and value < least)
        or (above is not None and value <= above)
        or (most is not None and value > most)
        or (below is not None and value >= below)
    ):
        raise ValueError(f"{name} must be a {'whole ' if is_whole else ''}number {limits}, not {value!r}.")
