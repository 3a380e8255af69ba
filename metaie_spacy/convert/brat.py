"""Annotation rows from and to brat's standoff files."""

import re
from pathlib import Path
from typing import Iterable, Iterator
from urllib.parse import quote, unquote

from ..data.documents import text_id
from ..data.files import replacing
from ..data.rows import Place
from .links import At, Pair, linked_ids, pairs_of, with_links
from .records import Options, Skipped, Tally, foreign_row
from .sources import text_of

SPAN = re.compile(r"(T\S+)\t(\S+) (\d+ \d+(?:;\d+ \d+)*)\t(.*)")
RELATION = re.compile(r"(R\S+)\t(\S+) [^\s:]+:(\S+) [^\s:]+:(\S+)\s*")
EVENT = re.compile(r"(E\S+)\t(\S+?):(T\S+)((?: [^\s:]+:\S+)*)\s*")
OTHER = (
    (re.compile(r"\*\t\S+( \S+)+"), "equivalence"),
    (re.compile(r"[AM]\d\S*\t\S+ \S+( .*)?"), "attribute"),
    (re.compile(r"N\d\S*\t\S+ \S+ \S+.*"), "normalization"),
    (re.compile(r"#\S*\t.*"), "note"),
)
MAX_NAME = 100  # bytes of a file's name


def read_brat(path: Path, options: Options, tally: Tally) -> Iterator[dict]:
    """Rows of the texts of a folder, or of one `.txt` with its `.ann`. The teacher is a "human".

    Relations, and arguments of events by their role, become links. A span in several pieces is unsure over its range;
    it and attributes, notes and the like are counted.
    """
    base = path if path.is_dir() else path.parent
    found = sorted(path.rglob("*")) if path.is_dir() else [path.with_suffix(".txt"), path.with_suffix(".ann")]
    stems = dict.fromkeys(file.with_suffix("") for file in found if file.suffix in (".txt", ".ann"))
    for stem in stems:
        name = stem.relative_to(base).as_posix()
        yield from tally.take(f"{name}.ann", name, _document_row, stem, name, options, tally)


def _document_row(stem: Path, name: str, options: Options, tally: Tally) -> dict:
    text, annotations = (_read(stem.with_name(stem.name + suffix), options) for suffix in (".txt", ".ann"))
    if text is None:
        raise Skipped("no text", f"there is no '{name}.txt' beside it.")
    if annotations is None:
        raise Skipped("not annotated")
    lines = annotations.split("\n")
    spans, unsure, at, ends, lost = [], [], {}, [], []
    for number, line in enumerate(lines, 1):
        line = line.removesuffix("\r")
        if not line.strip():
            continue
        if span := SPAN.fullmatch(line):
            pieces = [(*map(int, piece.split(" ")),) for piece in span[3].split(";")]
            _check_words(text, pieces, span[4], number)
            place: Place = (pieces[0][0], pieces[-1][1], span[2])
            (spans if len(pieces) == 1 else unsure).append(dict(zip(("start", "end", "label"), place)))
            at[span[1]] = place[:2] if len(pieces) == 1 else None
            continue
        reason = next((reason for pattern, reason in OTHER if pattern.fullmatch(line)), None)
        if number == len(lines) and reason is None:
            raise Skipped("cut line", f"line {number} has no end: {line!r}. End it if it is whole.")
        if relation := RELATION.fullmatch(line):
            ends.append((number, relation[3], relation[2], relation[4]))
        elif event := EVENT.fullmatch(line):
            at[event[1]] = event[3]
            roles = [argument.split(":") for argument in event[4].split()]
            ends += [(number, event[3], role.rstrip("0123456789") or role, target) for role, target in roles]
        elif reason:
            lost.append(reason)
        else:
            raise Skipped("bad row", f"line {number} is no annotation of brat: {line!r}.")
    pairs = [pair for end in ends for pair in _pair(end, at, lost)]
    for reason in lost:
        tally.drop(reason, 1)
    tally.drop("discontinuous", len(unsure))
    row = foreign_row(text, spans, source="brat", teacher=options.teacher or "human", id=unquote(name))
    return with_links(row | ({"unsure": unsure} if unsure else {}), pairs)


def _read(path: Path, options: Options) -> str | None:
    try:
        return text_of(path, options) if path.is_file() else None
    except ValueError as error:
        raise Skipped("bad encoding", str(error)) from None


def _check_words(text: str, pieces: list[tuple[int, int]], words: str, number: int) -> None:
    """RAISES (Skipped): the offsets lead to other words than those that stand beside them."""
    for start, end in pieces:
        if not 0 <= start < end <= len(text):
            raise Skipped(
                "bad row", f"line {number}: {start}:{end} lies outside its text of {len(text)} characters or is empty."
            )
    found = " ".join(text[start:end] for start, end in pieces)
    if " ".join(found.split()) != " ".join(words.split()):
        raise Skipped("bad offsets", f"line {number}: {found!r} stands there, not {words!r}.")


def _pair(end: tuple[int, str, str, str], at: dict[str, At | str | None], lost: list[str]) -> list[Pair]:
    """The link of a relation; none if one of its ends is in several pieces."""
    number, head, label, tail = end
    places = []
    for name in (head, tail):
        name = at.get(name, name) if name.startswith("E") else name  # an event stands at its trigger
        if name not in at:
            raise Skipped("bad row", f"line {number} names {name}, which no line is.")
        places.append(at[name])
    if None in places:
        lost.append("discontinuous")
        return []
    return [(places[0], label, places[1])]


def write_brat(rows: Iterable[dict], output: Path, options: Options, tally: Tally) -> None:
    """A folder of texts, their standoff files and `annotation.conf`; a file is named by its row's id.

    RAISES (ValueError): two labels differ in white space only, which brat's have not; or the output is a file, or a
    folder that holds something, such as somebody's annotations.
    """
    if output.is_file() or (output.is_dir() and any(output.iterdir())):
        raise ValueError(f"'{output}' is there already; brat's format needs a new folder.")
    names, labels, relations = {"annotation"}, {}, {}
    with replacing(output) as folder:
        for row in rows:
            name = _file_name(row["id"], names)
            ids = [f"T{n}" for n in range(1, len(row["spans"]) + 1)]
            lines = [
                f"{id}\t{_type(span['label'], labels)} {span['start']} {span['end']}\t"
                + " ".join(row["text"][span["start"] : span["end"]].split())
                for id, span in zip(ids, row["spans"])
            ]
            found = linked_ids(row, ids, tally) if pairs_of(row) else []
            lines += [f"R{n}\t{_type(label, relations)} Arg1:{a} Arg2:{b}" for n, (a, label, b) in enumerate(found, 1)]
            (folder / f"{name}.txt").write_bytes(row["text"].encode("utf8"))
            (folder / f"{name}.ann").write_bytes("".join(line + "\n" for line in lines).encode("utf8"))
        config = ["[entities]", *labels, "[relations]"]
        config += [f"{label} Arg1:<ENTITY>, Arg2:<ENTITY>" for label in relations] + ["[events]", "[attributes]"]
        (folder / "annotation.conf").write_bytes("\n".join([*config, ""]).encode("utf8"))


def _file_name(id: str, names: set[str]) -> str:
    """A name that no other file has: the id, what a name cannot hold as %2F and so on, or its hash if it is long."""
    name = quote(id, safe=" #,;=@+()").strip(". ") or "text"
    name = name if len(name) <= MAX_NAME else text_id(id)
    base, n = name, 1
    while name.lower() in names:
        n += 1
        name = f"{base}-{n}"
    names.add(name.lower())
    return name


def _type(label: str, written: dict[str, str]) -> str:
    """A label without white space. RAISES (ValueError): another one has become the same."""
    name = "_".join(label.split())
    if written.setdefault(name, label) != label:
        raise ValueError(f"The labels {label!r} and {written[name]!r} are one in brat's format. Rename one of them.")
    return name
