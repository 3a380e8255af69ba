"""The msgpack that models are saved in, as data: plain types only, and no list larger than the bytes that fill it."""

import math
import struct
from typing import Any, NamedTuple

import numpy as np

DEPTH = 16  # of lists and maps inside each other; ours have 5
MOST_ITEMS = 1_000_000  # of one message; one of a large transformer has some hundreds
FIXED = dict(zip(range(0xCA, 0xD4), (">f", ">d", ">B", ">H", ">I", ">Q", ">b", ">h", ">i", ">q")))
SIZED = {
    **dict(zip((0xC4, 0xC5, 0xC6), ((bytes, ">B"), (bytes, ">H"), (bytes, ">I")))),
    **dict(zip((0xD9, 0xDA, 0xDB), ((str, ">B"), (str, ">H"), (str, ">I")))),
    **dict(zip((0xDC, 0xDD), ((list, ">H"), (list, ">I")))),
    **dict(zip((0xDE, 0xDF), ((dict, ">H"), (dict, ">I")))),
}


def read_message(data: bytes | memoryview) -> Any:
    """What a message holds; binary values are views of the bytes given.

    The libraries' own readers make room for a list of any length that it claims to have, and lists may stand inside
    each other: a file of a megabyte takes all memory. This one takes no more than the bytes can fill.

    RAISES (ValueError): it is no such message, or a cut one.
    """
    reader = _Reader(memoryview(data).cast("B"))
    value = reader.value(0)
    if reader.at != len(reader.data):
        raise ValueError(f"the message has {len(reader.data) - reader.at} bytes after its end")
    return value


def array_of(value: Any) -> np.ndarray:
    """An array of numbers, as a message holds it, copied. RAISES (ValueError): it is none."""
    if not isinstance(value, dict) or value.get("nd") is not True:
        raise ValueError("where an array should be, the message has none")
    kind, shape, data = value.get("type"), value.get("shape"), value.get("data")
    if kind not in ("<f4", "<f2", "<f8") or not isinstance(data, memoryview):
        raise ValueError("an array of the message is not of floating point numbers")
    dtype = np.dtype(kind)
    if not _is_shape(shape) or math.prod(shape) * dtype.itemsize != len(data):
        raise ValueError("an array of the message has another size than its shape")
    return np.frombuffer(data, dtype).reshape(shape).astype(np.float32)


def _is_shape(shape: Any) -> bool:
    return isinstance(shape, list) and len(shape) <= 8 and all(type(n) is int and n >= 0 for n in shape)


class _Reader:
    """Reads values off a view of bytes, one after another."""

    def __init__(self, data: memoryview):
        self.data, self.at, self.items = data, 0, 0

    def take(self, n: int) -> memoryview:
        if n > len(self.data) - self.at:
            raise ValueError("the message is cut: it ends before what it announces")
        self.at += n
        return self.data[self.at - n : self.at]

    def number(self, form: str) -> int | float:
        return struct.unpack(form, self.take(struct.calcsize(form)))[0]

    def value(self, depth: int) -> Any:
        self.items += 1
        if depth > DEPTH or self.items > MOST_ITEMS:
            raise ValueError("the message has too many values, or they are nested too deep")
        code = self.take(1)[0]
        if code < 0x80:
            return code
        if code >= 0xE0:
            return code - 0x100
        if code < 0xC0:
            kind, size = _short(code)
            return self.sized(kind, size, depth)
        if code in (0xC0, 0xC2, 0xC3):
            return {0xC0: None, 0xC2: False, 0xC3: True}[code]
        if code in FIXED:
            return self.number(FIXED[code])
        if code not in SIZED:
            raise ValueError(f"the message has a value of an unknown type (0x{code:02x})")
        kind, form = SIZED[code]
        return self.sized(kind, self.number(form), depth)

    def sized(self, kind: type, size: int, depth: int) -> Any:
        if kind is bytes:
            return self.take(size)
        if kind is str:
            return str(self.take(size), "utf8")
        if kind is list:
            values = []
            for _ in range(size):
                values.append(self.value(depth + 1))
            return values
        return dict(self.pair(depth + 1) for _ in range(size))

    def pair(self, depth: int) -> tuple[str | int, Any]:
        key = self.value(depth)
        if isinstance(key, memoryview):  # arrays are maps whose keys are bytes
            key = str(key[:64], "utf8")
        if not isinstance(key, (str, int)):
            raise ValueError("a map of the message has a key that is neither text nor a number")
        return key, self.value(depth)


def _short(code: int) -> tuple[type, int]:
    """Type and size of a value whose first byte has both."""
    if code < 0x90:
        return dict, code & 0x0F
    if code < 0xA0:
        return list, code & 0x0F
    return str, code & 0x1F


class Message(NamedTuple):
    """A saved thinc model: what is known of each node of its tree. shims (list): each in a format of its own."""

    nodes: list[dict]
    attrs: list[dict]
    params: list[dict]
    shims: list[list]


def model_message(data: bytes | memoryview) -> Message:
    """RAISES (ValueError): the bytes hold no saved model, or only a part of one."""
    message = read_message(data)
    if not isinstance(message, dict) or not all(isinstance(message.get(key), list) for key in Message._fields):
        raise ValueError(f"the message lacks one of the lists {', '.join(Message._fields)}")
    found = Message(*(message[key] for key in Message._fields))
    if len({len(part) for part in found}) != 1 or not found.nodes:
        raise ValueError("the lists of the message are of different lengths, or empty")
    for part, kind in zip(found, (dict, dict, dict, list)):
        if not all(isinstance(value, kind) for value in part):
            raise ValueError("the lists of the message hold values of a wrong type")
    if not all(isinstance(shim, memoryview) for shims in found.shims for shim in shims):
        raise ValueError("a shim of the message is not made of bytes")
    if not found.shims[0]:
        raise ValueError("the message has no weights of the metaie model")
    return found
