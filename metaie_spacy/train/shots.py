"""The steps of an adaptation to a few examples (torch only)."""

import random
from itertools import repeat
from typing import Callable, Iterator, Mapping, Sequence

import torch

from ..data.items import Item
from ..model.pieces import WordPieces
from ..schema import Label
from .batches import Batch, LabelSpace, balanced, closed_batch, link_batch, open_batch, own_batch
from .optim import Average, check_loss, trained
from .settings import FewShotSettings as Settings

WARMUP = 20  # steps


def step_batches(
    items: Sequence[Item],
    closed: tuple[Label, ...] | None,
    rehearsed: Sequence[Item],
    pieces: WordPieces,
    settings: Settings,
) -> Iterator[list[Batch]]:
    """For each step a batch of examples, one of what is asked about their spans, and the same of the corpus.

    Labels and links of a text never share a batch: their losses would share its weights.
    """
    labels = label_batches(items, closed, rehearsed, pieces, settings)
    links = link_batches(items, rehearsed, pieces, settings)
    while True:
        yield [*next(labels), *next(links)]


def link_batches(
    items: Sequence[Item], rehearsed: Sequence[Item], pieces: WordPieces, settings: Settings
) -> Iterator[list[Batch]]:
    """For each step a batch of questions about spans of the examples, and one about the corpus; none without any."""
    rng = random.Random(settings.seed)
    asking, others = ([item for item in part if item.links] for part in (items, rehearsed))
    if not asking:
        yield from repeat([])
    size = min(settings.batch_size, len(asking))
    share = max(1, round(size * settings.rehearsal)) if others else 0
    examples, corpus = cycle(asking, size, rng), cycle(others, share, rng) if share else None
    while True:
        batches = [link_batch([balanced(item, rng, settings.unanswered) for item in next(examples)], pieces, rng)]
        yield batches if corpus is None else [*batches, link_batch(next(corpus), pieces, rng)]


def label_batches(
    items: Sequence[Item],
    closed: tuple[Label, ...] | None,
    rehearsed: Sequence[Item],
    pieces: WordPieces,
    settings: Settings,
) -> Iterator[list[Batch]]:
    """For each step a batch of examples, and one of the corpus if there is one."""
    rng = random.Random(settings.seed)
    size = min(settings.batch_size, len(items))
    share = round(size * settings.rehearsal)
    share = max(1, share) if rehearsed else 0
    space = LabelSpace(rehearsed)
    examples, corpus = cycle(items, size, rng), cycle(rehearsed, share, rng) if share else None
    while True:
        part = next(examples)
        batches = [own_batch(part, pieces) if closed is None else closed_batch(part, closed, pieces)]
        yield batches if corpus is None else [*batches, open_batch(next(corpus), pieces, space, rng)]


def cycle(items: Sequence[Item], size: int, rng: random.Random) -> Iterator[list[Item]]:
    """Batches without end: every item once before any comes again."""
    waiting: list[Item] = []
    while True:
        if len(waiting) < size:
            waiting += rng.sample(items, len(items))
        yield waiting[:size]
        waiting = waiting[size:]


def descend(
    module: torch.nn.Module, groups: list[dict], backward: Callable[[], float], settings: Settings
) -> Iterator[tuple[int, float, Average]]:
    """The loop: a short warm-up, then a constant rate, with an average of the weights beside them.

    groups (list[dict]): parameter groups for AdamW.
    backward (Callable): computes the gradient of one step, returns its loss.
    YIELDS (tuple): after each step its number, its loss, and the average.
    """
    optimizer = torch.optim.AdamW(groups, fused=True)
    average = Average(module, settings.ema)
    for group in optimizer.param_groups:
        group["peak"] = group["lr"]
    for step in range(1, settings.steps + 1):
        for group in optimizer.param_groups:
            group["lr"] = group["peak"] * min(1.0, step / WARMUP)
        module.train()
        loss = check_loss(backward(), step, settings.lr)
        torch.nn.utils.clip_grad_norm_(trained(module), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        average.update(module)
        yield step, loss, average


def blend(module: torch.nn.Module, start: Mapping[str, torch.Tensor], share: float) -> None:
    """Move parameters back towards where they began: WiSE-FT (arXiv 2109.01903), of low-rank changes too.

    start (Mapping): what those that were trained began with. share (float): of what was learned that stays, in [0, 1].
    """
    with torch.no_grad():
        for name, value in module.named_parameters():
            if name in start and not name.endswith(".down"):  # a change is up @ down
                value.lerp_(start[name], 1 - share)
