"""Loss, parameter groups and averaged weights (torch only)."""

import math
from contextlib import contextmanager
from typing import Any, Iterator

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from ..model.defaults import ENCODER_NAMES, O_WEIGHT
from .batches import Batch


def tagging_loss(logits: Tensor, batch: Batch, o_weight: float = O_WEIGHT) -> Tensor:
    """Cross-entropy over O / B / I, averaged over the pairs that count.

    logits (Tensor): B and I against O = 0, (W, U, 2). o_weight (float): weight of O pairs.
    RETURNS (Tensor): a scalar.
    """
    full = torch.cat([logits.new_zeros((*logits.shape[:2], 1)), logits], dim=-1).float()
    losses = cross_entropy(full.flatten(0, 1), batch.tags.flatten(), reduction="none")
    weights = batch.weights.flatten() * torch.where(batch.tags.flatten() == 0, o_weight, 1.0)
    return (losses * weights).sum() / weights.sum().clamp(min=1.0)


def check_loss(loss: float, step: int, lr: float | None = None) -> float:
    """RAISES (ValueError): the loss is no number, so that no weight can be good any more."""
    if not math.isfinite(loss):
        cure = "Lower the learning rate" + (f", which is {lr:g}." if lr is not None else ".")
        raise ValueError(f"The training has failed: the loss of step {step} is {loss}. {cure} Nothing was saved of it.")
    return loss


def check_weights(model: nn.Module) -> None:
    """RAISES (ValueError): a weight is NaN or infinite."""
    bad = [name for name, value in model.state_dict().items() if not torch.isfinite(value).all()]
    if bad:
        raise ValueError(
            f"The training has failed: weights such as '{bad[0]}' are no numbers. Lower the learning rate."
        )


def loss_gradient(logits, batch: Batch, o_weight: float = O_WEIGHT) -> tuple[float, Any]:
    """The loss and its gradient, for a caller that backpropagates by itself.

    logits (Floats3d): B and I against O = 0, (W, U, 2), as the thinc model gives them.
    RETURNS (tuple): the loss, the gradient in the type and shape of `logits`.
    """
    from thinc.api import torch2xp, xp2torch

    leaf = xp2torch(logits, device=batch.tags.device).detach().requires_grad_()
    loss = tagging_loss(leaf, batch, o_weight)
    loss.backward()
    return float(loss.detach()), torch2xp(leaf.grad)


def parameter_groups(
    model: nn.Module,
    lr: float,
    head_scale: float,
    weight_decay: float,
    link_scale: float = 1.0,
    rank_scale: float = 1.0,
) -> list[dict]:
    """Parameter groups for AdamW: the encoder at `lr`, our own vectors and heads at `lr * head_scale`.

    link_scale (float): the head pass learns so many times as fast. rank_scale (float): so do low-rank changes of
        matrices, see `model.adapters`.

    RETURNS (list[dict]): with `lr` and `weight_decay`; norms and biases do not decay.
    """
    groups: dict[tuple[bool, bool, bool, bool], list[nn.Parameter]] = {}
    for name, parameter in ((name, p) for name, p in model.named_parameters() if p.requires_grad):
        is_thin = ".parametrizations." in name
        kind = name.startswith(ENCODER_NAMES), parameter.ndim > 1, name.startswith("links."), is_thin
        groups.setdefault(kind, []).append(parameter)
    return [
        {
            "params": parameters,
            "lr": lr
            * (1.0 if is_encoder else head_scale)
            * (link_scale if is_link else 1.0)
            * (rank_scale if is_thin else 1.0),
            "weight_decay": weight_decay if is_matrix else 0.0,
        }
        for (is_encoder, is_matrix, is_link, is_thin), parameters in groups.items()
    ]


def trained(model: nn.Module) -> list[nn.Parameter]:
    """The parameters that are not frozen."""
    return [p for p in model.parameters() if p.requires_grad]


class Average:
    """Exponential moving average of a module's trained parameters.

    decay (float): share kept at each step, reached after a start of plain averaging.
    """

    def __init__(self, model: nn.Module, decay: float):
        self.decay, self.steps = decay, 0
        self.values = [p.detach().clone() for p in trained(model)] if decay else []

    def update(self, model: nn.Module) -> None:
        self.steps += 1
        if self.values:
            keep = min(self.decay, self.steps / (self.steps + 10))
            torch._foreach_lerp_(self.values, [p.detach() for p in trained(model)], 1 - keep)

    def copy_to(self, model: nn.Module) -> None:
        with torch.no_grad():
            for parameter, value in zip(trained(model), self.values, strict=True) if self.values else ():
                parameter.copy_(value)

    @contextmanager
    def in_place(self, model: nn.Module) -> Iterator[None]:
        """A context in which the model has the averaged weights."""
        kept = [p.detach().clone() for p in trained(model)]
        self.copy_to(model)
        try:
            yield
        finally:
            with torch.no_grad():
                for parameter, value in zip(trained(model), kept):
                    parameter.copy_(value)

    def state_dict(self) -> dict:
        return {"values": self.values, "steps": self.steps}

    def load_state_dict(self, state: dict) -> None:
        self.steps = state["steps"]
        for own, saved in zip(self.values, state["values"]):
            own.copy_(saved)
