"""Where files are: on this machine, or behind an address that fsspec opens."""

import glob
import gzip
import io
import os
import uuid
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from ..data.texts import JSONL, TABLES

PACKED = (".gz", ".zst")
KINDS = (".parquet", ".txt", *JSONL, *TABLES)


class Facts(NamedTuple):
    """By which a file is known again. size (int): bytes. changed (str): when, or its version, as its system tells."""

    size: int
    changed: str


def is_remote(path: str) -> bool:
    """Whether this is an address such as "s3://bucket/texts.jsonl"."""
    return "://" in path


def kind_of(path: str) -> str:
    """The ending that tells what a file holds, without one of compression.

    RAISES (ValueError): it is none that is read.
    """
    name = path.rpartition("/")[2].lower()
    for ending in PACKED:
        name = name.removesuffix(ending)
    kind = os.path.splitext(name)[1]
    if kind not in KINDS or (kind == ".parquet" and not path.lower().endswith(kind)):
        packed = " or ".join(PACKED)
        raise ValueError(
            f"'{path}' is no file that is read. Give {', '.join(KINDS)}; behind all but .parquet {packed}."
        )
    return kind


def matching(source: str) -> list[str]:
    """The files that a path, an address or a pattern with "*" names, in the order of their names.

    RAISES (ValueError): there are none, or one is of no kind that is read.
    """
    if is_remote(source):
        fs, path = _system(source)
        found = [fs.unstrip_protocol(name) for name in fs.glob(path)] if glob.has_magic(path) else [source]
        found = [name for name in found if fs.isfile(fs._strip_protocol(name))]
    else:
        named = glob.glob(source, recursive=True) if glob.has_magic(source) and not os.path.exists(source) else [source]
        found = [name for name in named if os.path.isfile(name)]
    if not found:
        is_folder = not is_remote(source) and os.path.isdir(source)
        what = f"'{source}' is a folder" if is_folder else f"There is no file '{source}'"
        raise ValueError(f"{what}. Give a file or a pattern in quotation marks, such as 'texts/*.parquet'.")
    for name in found:
        kind_of(name)
    return sorted(found)


def facts_of(path: str) -> Facts:
    """RAISES (OSError): there is no such file."""
    if is_remote(path):
        fs, name = _system(path)
        info = fs.info(name)
        changed = next((info[key] for key in ("ETag", "etag", "LastModified", "mtime", "updated") if key in info), "")
        return Facts(int(info.get("size") or 0), str(changed))
    status = os.stat(path)
    return Facts(status.st_size, str(status.st_mtime_ns))


def open_raw(path: str) -> BinaryIO:
    """The bytes of a file as they are stored. RAISES (OSError): it cannot be opened."""
    if is_remote(path):
        fs, name = _system(path)
        return fs.open(name, "rb")
    return open(path, "rb")


def unpacked(raw: BinaryIO, path: str) -> BinaryIO:
    """A file's bytes without their compression, which its ending tells.

    RAISES (ValueError): zstandard is missing.
    """
    if path.lower().endswith(".gz"):
        return gzip.GzipFile(fileobj=raw)
    if path.lower().endswith(".zst"):
        try:
            import zstandard
        except ImportError:
            raise ValueError(f"Reading '{path}' needs zstandard: pip install 'metaie-spacy[bulk]'.") from None
        reader = zstandard.ZstdDecompressor().stream_reader(raw, read_across_frames=True, closefd=False)
        return io.BufferedReader(reader)
    return raw


class Folder:
    """A folder whose files appear whole or not at all, under names that say what they hold.

    path (str): a path, or an address that fsspec opens, of a store in which a file that was written is whole.
    """

    def __init__(self, path: str):
        self.path, self.is_remote = path.rstrip("/"), is_remote(path)

    def create(self) -> None:
        """Make the folder, and clear away what a killed process was writing."""
        if self.is_remote:
            fs, path = _system(self.path)
            fs.makedirs(path, exist_ok=True)
            return
        os.makedirs(self.path, exist_ok=True)
        for name in os.listdir(self.path):
            if name.endswith(".partial"):
                os.unlink(os.path.join(self.path, name))

    def names(self) -> list[str]:
        """The names of its files, in order; none of a folder that is not there."""
        if self.is_remote:
            fs, path = _system(self.path)
            found = fs.ls(path, detail=False) if fs.exists(path) else []
            return sorted(name.rstrip("/").rpartition("/")[2] for name in found)
        return sorted(os.listdir(self.path)) if os.path.isdir(self.path) else []

    def read(self, name: str) -> bytes:
        """RAISES (OSError): there is no such file."""
        if self.is_remote:
            fs, path = _system(self.path)
            return fs.cat_file(f"{path}/{name}")
        return Path(self.path, name).read_bytes()

    def write(self, name: str, content: bytes) -> None:
        """A file, all or nothing, also when several processes write it."""
        if self.is_remote:
            fs, path = _system(self.path)
            fs.pipe_file(f"{path}/{name}", content)
            return
        partial = os.path.join(self.path, f"{name}.{uuid.uuid4().hex}.partial")
        try:
            with open(partial, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            os.replace(partial, os.path.join(self.path, name))
        finally:
            if os.path.exists(partial):
                os.unlink(partial)


def _system(path: str) -> tuple[Any, str]:
    """The file system of an address, and the path in it. RAISES (ValueError): a package for it is missing."""
    try:
        import fsspec

        return fsspec.core.url_to_fs(path)
    except ImportError as error:
        cure = "pip install 'metaie-spacy[bulk]'" if error.name == "fsspec" else f"install what this says: {error}"
        raise ValueError(f"'{path}' needs another package: {cure}.") from None
