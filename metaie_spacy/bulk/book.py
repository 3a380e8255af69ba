"""The book of a run, in its folder: what was asked, which shards are done, and what came of it."""

import hashlib
import json
import os
import re
import time
from collections import defaultdict
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Iterator, Mapping, Sequence

from .. import __version__
from ..data.jsonl import json_line, json_text, parse_json
from .chunks import Source, shards_of
from .job import FORMATS
from .places import Folder, facts_of

# Readers of tables pass over names that begin so.
RUN, LEDGER, SUMMARY, LOCK = "_run.json", "_done.log", "_summary.json", "_lock"
SHARD = re.compile(r"part-(\d{5,})-(\d{6,})")  # without its ending, see `Chunk.name`
REWRITE = 30.0  # seconds between two writings of a ledger that cannot be appended to


class Book:
    """What a folder knows of the run that fills it. A shard is done when it is there under its name.

    output (str): the folder. asked (Mapping): all that shapes an answer or a shard, as JSON has it.
    paths (Sequence[str]): files to read, with those of earlier calls in front.
    RAISES (ValueError): the folder holds something else, another run, or files that have changed since.
    """

    def __init__(self, output: str, asked: Mapping[str, Any], paths: Sequence[str]):
        self.folder = Folder(output)
        self.folder.create()
        names = self.folder.names()
        self.asked, self.format = json.loads(json_text(asked)), asked["format"]
        self.sources = self._numbered(names, list(dict.fromkeys(paths)))
        self.entries: dict[str, dict[str, Any]] = {}
        self.done: dict[int, set[int]] = defaultdict(set)
        self._read_ledger(names)
        self._written = time.monotonic()

    def add(self, entry: dict[str, Any]) -> None:
        """Note a shard that was written."""
        is_new = entry["shard"] not in self.entries
        self.entries[entry["shard"]] = entry
        if self.folder.is_remote:
            if time.monotonic() - self._written > REWRITE:
                self._write_ledger()
        elif is_new:
            with open(os.path.join(self.folder.path, LEDGER), "ab") as file:
                file.write(json_line(entry))

    def totals(self) -> dict[str, int]:
        """Numbers of rows, errors, spans and shards."""
        sums = {name: sum(entry[name] for entry in self.entries.values()) for name in ("rows", "errors", "spans")}
        return {**sums, "shards": len(self.entries)}

    def close(self, summary: Mapping[str, Any]) -> None:
        """Write the summary of a run that has ended well."""
        self._write_ledger()
        self.folder.write(SUMMARY, json.dumps(summary, indent=1, ensure_ascii=False).encode("utf8") + b"\n")

    def _numbered(self, names: list[str], paths: list[str]) -> list[Source]:
        """Sources by their numbers of the first call; new ones come behind."""
        earlier = []
        if RUN in names:
            earlier = self._earlier()
        elif names := [name for name in names if name != LOCK]:
            raise ValueError(
                f"'{self.folder.path}' holds other files, such as '{names[0]}'. Give an empty or new folder."
            )
        files = {file["path"]: file for file in earlier}
        for path in dict.fromkeys([*files, *paths]):
            now = dict(zip(("size", "changed"), self._facts(path)))
            before = files.setdefault(path, {"path": path, **now})
            if {key: before[key] for key in now} != now:
                own = shards_of(list(files).index(path))
                if any(name.startswith(own) for name in names):
                    raise ValueError(
                        f"'{path}' has changed since '{self.folder.path}' was begun, so that its rows would not fit "
                        f"the shards there. Give another output folder, put the file back as it was, or remove its "
                        f"shards, {own}*, and it is read anew."
                    )
                files[path] = {"path": path, **now}
        run = {"version": __version__, **self.asked, "files": list(files.values())}
        self.folder.write(RUN, json.dumps(run, indent=1, ensure_ascii=False).encode("utf8") + b"\n")
        return [Source(number, path) for number, path in enumerate(files)]

    def _earlier(self) -> list[dict[str, Any]]:
        """The files of earlier calls. RAISES (ValueError): they asked something else."""
        try:
            run = parse_json(self.folder.read(RUN))
            files = [{key: file[key] for key in ("path", "size", "changed")} for file in run["files"]]
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(f"'{self.folder.path}/{RUN}' is damaged: {error}. Give another output folder.") from None
        for key, value in self.asked.items():
            if run.get(key) != value:
                raise ValueError(
                    f"'{self.folder.path}' was begun with another {key}: {_shown(run.get(key))}, not {_shown(value)}. "
                    "Give the same command, or another output folder."
                )
        return files

    def _facts(self, path: str) -> tuple[int, str]:
        try:
            return facts_of(path)
        except OSError as error:
            raise ValueError(f"'{path}' cannot be read: {error}. Put it back, or give another output folder.") from None

    def _read_ledger(self, names: list[str]) -> None:
        """Take in the shards that are there; what the ledger does not tell of one, its own rows do.

        RAISES (ValueError): a file is called as a shard, and is none.
        """
        noted = {}
        if LEDGER in names:
            for line in self.folder.read(LEDGER).splitlines():
                try:
                    entry = parse_json(line)
                    noted[entry["shard"]] = {key: entry[key] for key in ("shard", "rows", "errors", "spans")}
                except (ValueError, KeyError, TypeError):  # cut by a kill; the shard tells
                    continue
        columns = self.asked["columns"]
        for name in names:
            if name.startswith("part-") and name.endswith(f".{self.format}"):
                shard = SHARD.fullmatch(name.removesuffix(f".{self.format}"))
                if shard is None:
                    raise ValueError(
                        f"'{self.folder.path}' holds '{name}', which is no shard of this run, and which readers of the "
                        "folder would take for one. Move it away."
                    )
                self.entries[name] = noted.get(name) or counted(self.folder, name, columns)
                self.done[int(shard[1])].add(int(shard[2]))
        self._write_ledger()

    def _write_ledger(self) -> None:
        self.folder.write(LEDGER, b"".join(map(json_line, self.entries.values())))
        self._written = time.monotonic()


def counted(folder: Folder, name: str, columns: Mapping[str, str]) -> dict[str, Any]:
    """The entry of a shard, from its rows. columns: of the extractor, by name."""
    content = folder.read(name)
    spans, error = (next(n for n, kind in columns.items() if kind == wanted) for wanted in ("spans", "text"))
    if name.endswith(f".{FORMATS[0]}"):
        rows = [parse_json(line) for line in content.splitlines()]
    else:
        import pyarrow as pa
        import pyarrow.parquet as parquet

        rows = parquet.read_table(pa.BufferReader(content), columns=[spans, error]).to_pylist()
    errors, found = sum(row.get(error) is not None for row in rows), sum(len(row[spans] or ()) for row in rows)
    return {"shard": name, "rows": len(rows), "errors": errors, "spans": found}


def hash_of(folder: str | Path) -> str:
    """sha256 of all files of a pipeline, or of one file: of what answers depend on."""
    digest, folder = hashlib.sha256(), Path(folder)
    files = sorted(path for path in folder.rglob("*") if path.is_file()) if folder.is_dir() else [folder]
    for path in files:
        digest.update(path.relative_to(folder).as_posix().encode("utf8") + b"\0")
        digest.update(path.read_bytes())
    return digest.hexdigest()


@contextmanager
def alone(output: str) -> Iterator[None]:
    """Be the only process that fills a folder of this machine.

    RAISES (ValueError): another one does.
    """
    folder = Folder(output)
    if folder.is_remote:  # where nobody locks; shards of two runs are the same
        yield
        return
    from filelock import FileLock, Timeout

    os.makedirs(folder.path, exist_ok=True)
    try:
        lock = FileLock(os.path.join(folder.path, LOCK), timeout=0).acquire()
    except Timeout:
        raise ValueError(
            f"Another process is filling '{output}'. Wait for it, or give another output folder."
        ) from None
    with lock:
        yield


def _shown(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) < 200 else f"{text[:200]}..."
