"""Where a pipeline's parts come from: spaCy copies neither `sources` nor licences along with a component."""

import json
from pathlib import Path
from typing import Any

from ..data.files import write_files
from ..data.jsonl import read_json_file
from ..encodings import read_text

LICENCES = ("LICENSE", "NOTICE", "LICENSES_SOURCES")  # what a pipeline carries beside its components


def add_sources(meta: dict[str, Any], source: Path) -> None:
    """Add the pipeline in a directory, and what it was made from, to the `sources` of another one's meta."""
    if not (source / "meta.json").is_file():
        return  # weights that are no pipeline yet say nothing of themselves
    other = read_json_file(source / "meta.json")
    entry = {"name": _name(other), "author": other.get("author", ""), "license": other.get("license") or "not stated"}
    known, more = entries(meta), entries(other)
    meta["sources"] = known + [one for one in (entry, *more) if one not in known]


def keep_sources(source: Path, output: Path) -> None:
    """The same on disk, with the licence texts: they go to LICENSES_SOURCES, a file that `spacy package` takes along.

    RAISES (ValueError): one of the directories is no pipeline.
    """
    for path in (source, output):
        if not (path / "meta.json").is_file():
            raise ValueError(f"'{path}' is no pipeline: it has no meta.json.")
    meta, target = read_json_file(output / "meta.json"), output / "LICENSES_SOURCES"
    add_sources(meta, source)
    text = read_text(target) if target.exists() else ""
    name = _name(read_json_file(source / "meta.json"))
    for file in (source / name for name in LICENCES):
        part = read_text(file).strip() if file.exists() else ""
        if part not in text:
            text += f"{name}, {file.name}\n\n{part}\n\n"
    write_files(output, {"meta.json": json.dumps(meta, indent=2) + "\n", **({target.name: text} if text else {})})


def entries(meta: dict[str, Any]) -> list[dict]:
    """spaCy allows strings in place of all entries."""
    return [{"name": one} if isinstance(one, str) else one for one in meta.get("sources") or []]


def _name(meta: dict[str, Any]) -> str:
    return f"{meta.get('lang')}_{meta.get('name')} {meta.get('version')}"
