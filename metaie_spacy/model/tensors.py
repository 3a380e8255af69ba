"""Tensors as safetensors has them, looked at before they are read."""

import math
from typing import Any, Iterable, NamedTuple

import numpy as np
import torch

from ..data.jsonl import parse_json
from .damage import shown

MOST_HEADER = 4 * 2**20  # bytes; an encoder of 24 layers has 60 kB
MOST_NUMBERS = 2**31  # of one tensor
DTYPES = {"F16": torch.float16, "BF16": torch.bfloat16, "F32": torch.float32, "F64": torch.float64}
LARGEST = torch.finfo(torch.float16).max  # what float16, in which weights may be saved, can hold


class Place(NamedTuple):
    """Where a tensor stands in the bytes after the header, and its form."""

    dtype: torch.dtype
    shape: tuple[int, ...]
    start: int
    end: int


class SavedTensors:
    """Tensors by name, of which nothing is read but their forms until they are asked for.

    content (bytes | memoryview): in the format of safetensors. `metadata`: its strings by name.
    RAISES (ValueError): it is not in that format, or has tensors that are no floating point numbers.
    """

    def __init__(self, content: bytes | memoryview):
        content = memoryview(content).cast("B")
        size = int.from_bytes(content[:8], "little")
        if len(content) < 8 or not 2 <= size <= min(MOST_HEADER, len(content) - 8):
            raise ValueError("the weights have no header of safetensors, or a part of it only")
        header = parse_json(bytes(content[8 : 8 + size]))
        if not isinstance(header, dict):
            raise ValueError("the header of the weights is no object")
        self._data = content[8 + size :]
        self.metadata = header.get("__metadata__", {})
        if not isinstance(self.metadata, dict) or not all(isinstance(text, str) for text in self.metadata.values()):
            raise ValueError("the metadata of the weights are no strings")
        self._places = {name: _place(name, entry) for name, entry in header.items() if name != "__metadata__"}
        self._check_layout()

    def _check_layout(self) -> None:
        """RAISES (ValueError): the tensors overlap, leave gaps, or do not end where the bytes end."""
        at = 0
        for place in sorted(self._places.values(), key=lambda place: (place.start, place.end)):
            if place.start != at:
                raise ValueError("the tensors of the weights overlap, or leave gaps")
            at = place.end
        if at != len(self._data):
            raise ValueError(f"the weights have {len(self._data)} bytes of tensors, but their header tells of {at}")

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        return {name: place.shape for name, place in self._places.items()}

    def read(self, names: Iterable[str]) -> dict[str, torch.Tensor]:
        """Tensors in float32, in memory of their own. RAISES (ValueError): one holds what is no weight."""
        return {name: self._read(name) for name in names}

    def _read(self, name: str) -> torch.Tensor:
        place = self._places[name]
        tensor = torch.empty(math.prod(place.shape), dtype=place.dtype)
        if len(tensor):
            # Copied first, since in the file a number may start at any byte.
            tensor.view(torch.uint8).numpy()[:] = np.frombuffer(self._data[place.start : place.end], np.uint8)
        tensor = tensor.float().reshape(place.shape)
        check_finite(name, tensor)
        return tensor


def check_finite(name: str, tensor: torch.Tensor) -> None:
    """RAISES (ValueError): a weight is no number, or larger than any that training makes."""
    if tensor.numel():
        low, high = (float(bound) for bound in torch.aminmax(tensor))
        if not -LARGEST <= low <= high <= LARGEST:
            raise ValueError(f"{shown(name)} holds values that are no weights: they go from {low} to {high}")


def _place(name: str, entry: Any) -> Place:
    if not isinstance(entry, dict) or entry.get("dtype") not in DTYPES:
        kind = entry.get("dtype") if isinstance(entry, dict) else entry
        raise ValueError(
            f"the tensor {shown(name)} is of the type {shown(repr(kind))[:40]}, not floating point numbers"
        )
    shape, offsets = entry.get("shape"), entry.get("data_offsets")
    if not _are_sizes(shape) or not _are_sizes(offsets) or len(offsets) != 2 or math.prod(shape) > MOST_NUMBERS:
        raise ValueError(f"the header of the weights has no shape and place of the tensor {shown(name)}")
    dtype = DTYPES[entry["dtype"]]
    if offsets[1] - offsets[0] != math.prod(shape) * dtype.itemsize:
        raise ValueError(f"the tensor {shown(name)} has another size than its shape")
    return Place(dtype, tuple(shape), *offsets)


def _are_sizes(values: Any) -> bool:
    return isinstance(values, list) and len(values) <= 8 and all(type(n) is int and 0 <= n < 2**48 for n in values)
