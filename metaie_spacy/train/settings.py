"""How trainings go. Read without torch, so that the command line can list every setting."""

from dataclasses import dataclass

from ..model.defaults import DROPOUT, HEAD_SCALE, O_WEIGHT

ARCHITECTURES = ("LabelToSpan", "CrossEncoder")


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
    recase (float): share of the texts that are seen in lower case or in capitals.
    dev_share (float): share of the texts that is never trained on.
    mixed_precision (str): "no", "bf16" or "fp16", as in accelerate.
    """

    encoder: str
    architecture: str = "LabelToSpan"
    init_from: str = ""
    text_sees_labels: bool | None = None
    epochs: float = 4
    steps: int = 0
    batch_size: int = 16
    lr: float = 2e-4
    head_scale: float = HEAD_SCALE
    weight_decay: float = 0.01
    warmup: float = 0.1
    o_weight: float = O_WEIGHT
    dropout: float = DROPOUT
    recase: float = 0.0
    ema: float = 0.998
    dev_share: float = 0.1
    seed: int = 0
    mixed_precision: str = "no"

    def __post_init__(self):
        if self.architecture not in ARCHITECTURES:
            raise ValueError(f"architecture is '{self.architecture}'; use one of {', '.join(ARCHITECTURES)}.")
        if not 0 <= self.recase <= 1:
            raise ValueError(f"recase must be a share from 0 to 1, not {self.recase}.")


@dataclass(frozen=True)
class FewShotSettings:
    """How an adaptation trains.

    steps (int): optimizer steps. lr (float): learning rate of the encoder, after a warm-up of 20
        steps; the head's is `lr * head_scale`. Word vectors are not trained.
    batch_size (int): examples of one step. rehearsal (float): corpus rows per example, against
        forgetting; 0: none. Whatever their number, their loss counts as much as that of the examples.
    o_weight (float): weight of tokens outside spans in the loss; 1 keeps the number of spans right,
        less than 1 tags more.
    ema (float): decay of the averaged weights, which are kept in the end; 0 turns averaging off.
    """

    steps: int = 100
    lr: float = 5e-5
    head_scale: float = HEAD_SCALE
    batch_size: int = 8
    rehearsal: float = 0.25
    o_weight: float = 0.5
    weight_decay: float = 0.01
    ema: float = 0.97
    seed: int = 0

    def __post_init__(self):
        if self.steps < 1 or self.batch_size < 1 or not self.lr > 0 or not self.rehearsal >= 0:
            raise ValueError(f"steps and batch_size must be at least 1, lr above 0, rehearsal at least 0: {self}.")
