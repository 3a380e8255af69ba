"""Files and folders that have their name only when they are whole."""
import os
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Iterator


def write_files(folder: Path, contents: dict[str, str]) -> None:
    """Write texts under a folder; each file is replaced as a whole, and none before all are on disk."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in contents.items():
        (folder / f"{name}.new").write_text(content, encoding="utf8", newline="\n")
    for name in contents:
        os.replace(folder / f"{name}.new", folder / name)



@contextmanager
def writing(path: Path) -> Iterator[BinaryIO]:
    """A file that has its name only when it is whole."""
    partial = path.with_name(path.name + ".partial")
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with partial.open("wb") as file:
            yield file
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)
