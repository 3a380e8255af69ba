"""Packed batches: what encoders take (torch only)."""

from typing import Any, NamedTuple

import torch
from torch import Tensor


def moved(packed: Any, device: torch.device) -> Any:
    """Packed tensors on a device; what they nest goes along, and None stays."""
    if packed is None:
        return None
    return packed.to(device) if isinstance(packed, Tensor) else type(packed)(*(moved(part, device) for part in packed))


class Texts(NamedTuple):
    """A packed batch of B texts with N pieces and W scored tokens.

    ids (Tensor): piece ids, `[CLS] pieces [SEP]` per text, int64 (N,).
    shapes (Tensor): shape class of the token of each piece, 0 for specials, int64 (N,).
    lengths (Tensor): pieces per text, int64 (B,).
    first (Tensor): index into `ids` of each scored token's first piece, int64 (W,).
    words (Tensor): scored tokens per text, int64 (B,).
    """

    ids: Tensor
    shapes: Tensor
    lengths: Tensor
    first: Tensor
    words: Tensor


class Labels(NamedTuple):
    """A packed batch of U labels with N pieces: `[marker] pieces` each.

    ids (Tensor): piece ids; the id at a marker's place is not looked up, int64 (N,).
    lengths (Tensor): pieces per label, marker included, int64 (U,).
    """

    ids: Tensor
    lengths: Tensor


class LabelStates(NamedTuple):
    """What texts need of U encoded labels with N pieces.

    vectors (Tensor): projected marker states, B half and I half, (U, 2, head_width).
    kv (Tensor): keys and values of every layer, (N, layers, 2, hidden); N = 0 if texts are
        label-blind.
    lengths (Tensor): pieces per label in `kv`, int64 (U,).
    """

    vectors: Tensor
    kv: Tensor
    lengths: Tensor


class Unfolded:
    """Index maps between packed pieces and padded rows of one batch of sequences.

    lengths (Tensor): pieces per sequence, int64 (S,).
    """

    def __init__(self, lengths: Tensor):
        self.lengths = lengths
        self.width = int(lengths.max()) if len(lengths) else 0
        self.column = torch.arange(self.width, device=lengths.device)
        self.mask = self.column < lengths[:, None]  # (S, width)
        self.index = self.mask.flatten().nonzero().squeeze(1)  # packed -> flat padded
        self.is_full = len(self.index) == self.mask.numel()  # sequences of one length, or one alone: nothing is padded
        self.positions = self.column.expand_as(self.mask).flatten()[self.index]
        self.starts = lengths.cumsum(0) - lengths

    def pad(self, packed: Tensor) -> Tensor:
        """(N, D) -> (S, width, D), zeros where padded."""
        if self.is_full:
            return packed.view(*self.mask.shape, packed.shape[-1])
        flat = packed.new_zeros((self.mask.numel(), packed.shape[-1]))
        return flat.index_copy(0, self.index, packed).view(*self.mask.shape, -1)

    def pack(self, padded: Tensor) -> Tensor:
        """(S, width, D) -> (N, D)."""
        flat = padded.reshape(-1, padded.shape[-1])
        return flat if self.is_full else flat[self.index]


class Picked(NamedTuple):
    """The pieces of a batch whose last states count.

    places (Tensor): among the packed pieces, by sequence, int64 (W,). rows (Unfolded): how they lie.
    """

    places: Tensor
    rows: Unfolded


class TokenVectors(NamedTuple):
    """Tokens that another model has encoded: T of them, of which W are scored.

    vectors (Tensor): (T, width). rows (Tensor): the scored ones, int64 (W,).
    """

    vectors: Tensor
    rows: Tensor
