"""Files and folders that have their name only when they are whole."""

import os
import shutil
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Iterator, Mapping


@contextmanager
def writing(path: str | Path) -> Iterator[BinaryIO]:
    """A file to write bytes to, which takes its name when the block ends well; else what stood there stays.

    path (Path): its folder is made. What is no regular file, such as a pipe, is written to as it is.
    """
    path = Path(os.path.realpath(path))
    if path.exists() and not path.is_file() and not path.is_dir():
        with path.open("wb") as file:
            yield file
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    try:
        with partial.open("wb") as file:
            yield file
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def write_text(path: str | Path, text: str) -> None:
    """A text as a UTF-8 file, all or nothing."""
    with writing(path) as file:
        file.write(text.encode("utf8"))


def write_files(folder: Path, contents: Mapping[str, str]) -> None:
    """Texts under a folder: each file is replaced as a whole, and none before all are on disk."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in contents.items():
        (folder / f"{name}.partial").write_text(content, encoding="utf8", newline="\n")
    for name in contents:
        os.replace(folder / f"{name}.partial", folder / name)


@contextmanager
def replacing(folder: str | Path) -> Iterator[Path]:
    """An empty folder to fill, which takes the name of `folder` when the block ends well; else what stood there stays.

    A process that is killed at any moment leaves the old folder or the new one, at worst under the name that
    `restored` looks for.
    """
    folder = restored(folder)
    new, old = _beside(folder)
    for leftover in (new, old):
        shutil.rmtree(leftover, ignore_errors=True)
    new.mkdir(parents=True)
    try:
        yield new
        if folder.exists():
            os.replace(folder, old)
        os.replace(new, folder)
        shutil.rmtree(old, ignore_errors=True)
    finally:
        restored(folder)
        shutil.rmtree(new, ignore_errors=True)


def check_apart(output: str | Path | None, *sources: str | Path | None) -> None:
    """RAISES (ValueError): the output would replace one of the sources, or a folder that holds one; None is no file."""
    if output is None:
        return
    target = Path(os.path.realpath(output))
    for source in sources:
        try:
            place = Path(os.path.realpath(source)) if source is not None else None
        except ValueError:  # a text, which no file can be named
            continue
        if place is None:
            continue
        if place == target or (target.is_dir() and target in place.parents) or _is_same(place, target):
            raise ValueError(f"'{output}' would replace '{source}', which is read. Give another output.")


def _is_same(place: Path, target: Path) -> bool:
    try:
        return os.path.samefile(place, target)
    except (OSError, ValueError):  # one of them is not there, or no name that a file can have
        return False


def restored(folder: str | Path) -> Path:
    """The folder, brought back if `replacing` was killed between its two renames."""
    folder = Path(os.path.realpath(folder))
    _, old = _beside(folder)
    if old.exists() and not folder.exists():
        os.replace(old, folder)
    return folder


def _beside(folder: Path) -> tuple[Path, Path]:
    return folder.with_name(folder.name + ".new"), folder.with_name(folder.name + ".old")
