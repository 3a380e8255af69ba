"""Encoded labels, kept while they are asked."""

from collections import OrderedDict
from typing import Callable, Sequence

import torch

from .packed import LabelStates

TOGETHER = 128  # labels that are encoded in one pass


class LabelCache:
    """Least recently used states of single labels, bounded by bytes.

    max_bytes (int): what the kept tensors may take.
    """

    def __init__(self, max_bytes: int):
        self.max_bytes, self.size, self.encoded = max_bytes, 0, 0
        self._states: OrderedDict[str, tuple[torch.Tensor, torch.Tensor]] = OrderedDict()
        self._last: tuple[tuple[str, ...], LabelStates] | None = None

    def clear(self) -> None:
        self._states.clear()
        self._last, self.size = None, 0

    def get(self, labels: Sequence[str], encode: Callable[[Sequence[str]], LabelStates]) -> LabelStates:
        """The states of `labels`, in their order; only new ones are encoded."""
        names = tuple(labels)
        if self._last and self._last[0] == names:
            return self._last[1]
        new = [label for label in names if label not in self._states]
        new = sorted(new, key=len) if len(new) > TOGETHER else new  # rows of a pass are padded to the longest
        fresh = {}
        for start in range(0, len(new), TOGETHER):
            part = new[start : start + TOGETHER]
            states = encode(part)
            kvs = states.kv.split(states.lengths.tolist())
            fresh |= {label: (vector.clone(), kv.clone()) for label, vector, kv in zip(part, states.vectors, kvs)}
        self.encoded += len(new)
        found = [fresh[label] if label in fresh else self._states[label] for label in names]
        lengths = torch.tensor([len(kv) for _, kv in found], device=found[0][0].device)
        result = LabelStates(torch.stack([v for v, _ in found]), torch.cat([kv for _, kv in found]), lengths)
        for label in names:
            if label in fresh:
                self._states[label] = fresh[label]
                self.size += nbytes(fresh[label])
            self._states.move_to_end(label)
        while self.size > self.max_bytes and self._states:
            self.size -= nbytes(self._states.popitem(last=False)[1])
        self._last = (names, result)
        return result


def nbytes(tensors: Sequence[torch.Tensor]) -> int:
    return sum(t.numel() * t.element_size() for t in tensors)
