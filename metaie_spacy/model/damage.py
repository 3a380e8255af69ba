"""Reading what others wrote: files that lie where they seem to, and one error for whatever is wrong inside them."""

import mmap
import os
import stat
from contextlib import contextmanager
from pathlib import Path
from typing import Iterator

SHOWN = 300  # characters of a reason


class DamagedWeights(ValueError):
    """Saved weights that cannot be used as they are: the message says where they are and what is wrong."""


def damaged(source: str, reason: object) -> DamagedWeights:
    """The error for weights from anywhere. source (str): where they are. reason (object): what is wrong."""
    return DamagedWeights(f"The metaie model in {source} is damaged: {shown(reason)}")


@contextmanager
def reading(source: str) -> Iterator[None]:
    """Whatever fails inside is a `DamagedWeights` that names the source.

    Files from anywhere fail in ways that no list of exceptions covers: missing keys, wrong types, no memory, nesting
    too deep, and panics of the Rust libraries, which are no Exception.
    """
    try:
        yield
    except DamagedWeights:
        raise
    except Exception as error:
        text = str(error) or "no reason given"
        kind = "" if isinstance(error, (ValueError, OSError)) else f"{type(error).__name__}: "
        raise damaged(source, kind + text) from error
    except BaseException as error:
        if not is_panic(error):
            raise
        raise damaged(source, error) from error


def is_panic(error: BaseException) -> bool:
    """Whether it comes from a Rust library that gave up; such errors are no Exception."""
    return type(error).__name__ == "PanicException"


def shown(value: object) -> str:
    """A value of a file for a message: one line, cut, and nothing in it that a terminal would obey."""
    line = " ".join(str(value)[: 4 * SHOWN].split())
    text = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in line)
    return text if len(text) <= SHOWN else text[:SHOWN] + "..."


def check_inside(root: Path, name: str) -> Path:
    """The path of a file below a folder.

    RAISES (ValueError): the name or a link leads out of the folder, or it is no regular file.
    """
    path = Path(root, name)
    base = Path(os.path.realpath(root))
    if not Path(os.path.realpath(path)).is_relative_to(base):
        raise ValueError(
            f"'{name}' leads out of the directory. If it is a link, copy the directory with what its links point to "
            "(cp -rL)."
        )
    return check_regular(path)


def check_regular(path: Path) -> Path:
    """RAISES (ValueError): it is no regular file; a pipe or a device is not even opened, since that may not return."""
    try:
        mode = os.stat(path).st_mode
    except OSError as error:
        raise ValueError(f"{path.name} cannot be read: {error.strerror}") from error
    if not stat.S_ISREG(mode):
        raise ValueError(f"{path.name} is no regular file")
    return path


def read_file(path: Path, most: int) -> bytes:
    """A small file. RAISES (ValueError): it is no regular file, or larger than `most` bytes."""
    with check_regular(path).open("rb") as file:
        content = file.read(most + 1)
    if len(content) > most:
        raise ValueError(f"{path.name} has more than {most:,} bytes")
    return content


def map_file(path: Path) -> memoryview:
    """A large file, of which memory takes what is looked at. RAISES (ValueError): it is no regular file, or empty."""
    with check_regular(path).open("rb") as file:
        if os.fstat(file.fileno()).st_size == 0:
            raise ValueError(f"{path.name} is empty")
        return memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
