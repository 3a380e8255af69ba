"""Texts of any source: lines, JSONL, Parquet, stdin; and long texts cut into passages."""
import hashlib
import json
import sys
from pathlib import Path
from typing import Any, BinaryIO, Callable, Iterable, Iterator

JSONL = (".jsonl", ".ndjson")


class TextReader:
    """The texts of one source, read lazily; bad lines are reported with their number and kept.

    source (str | None): a text, a file's path, or None or "-" for stdin. Lines are texts, or, in
        .jsonl files and where they open with '{"', objects with a "text"; a .parquet file has a
        column "text" (pyarrow reads it).
    errors (BinaryIO | None): takes bad lines as they came.
    RAISES (ValueError): the file is missing.
    """

    def __init__(self, source: str | None, *, errors: BinaryIO | None = None):
        self.errors, self.bad, self.total, self.is_jsonl = errors, 0, None, False
        self.name, self.lines = "stdin", sys.stdin.buffer
        if source is not None and source != "-":
            path = _as_file(source)
            if path is None:
                self.name, self.total, self.lines = "text", 1, [_flat(source).encode("utf8")]
            elif path.suffix == ".parquet":
                self.name, self.is_jsonl = str(path), True
                self.total, self.lines = parquet_lines(path)
            else:
                self.name, self.is_jsonl, self.lines = str(path), path.suffix in JSONL, path.open("rb")
                with path.open("rb") as file:
                    self.total = sum(1 for line in file if line.strip())

    def __enter__(self) -> "TextReader":
        return self

    def __exit__(self, *_) -> None:
        if hasattr(self.lines, "close") and self.lines is not sys.stdin.buffer:
            self.lines.close()

    def __iter__(self) -> Iterator[tuple[str, str]]:
        for number, row in self.rows():
            yield str(number if row.get("id") in (None, "") else row["id"]), row["text"]

    def rows(self) -> Iterator[tuple[int, dict[str, Any]]]:
        """Line number and row, at least `{"text"}`, of every good line."""
        for number, line in enumerate(self.lines, 1):
            if not line.strip():
                continue
            try:
                yield number, self._parse(line)
            except ValueError as error:
                self.reject(f"line {number}: {error}", line)

    def reject(self, message: str, line: bytes) -> None:
        """Report a bad line, count it and keep it."""
        self.bad += 1
        sys.stderr.write(f"{self.name}, {message}\n")
        if self.errors:
            self.errors.write(line.rstrip(b"\r\n") + b"\n")

    def _parse(self, line: bytes) -> dict[str, Any]:
        try:
            text = line.decode("utf8").removeprefix("\ufeff").rstrip("\r\n")
        except UnicodeDecodeError as error:
            raise ValueError(f"not UTF-8 ({error.reason} at byte {error.start})") from None
        if not self.is_jsonl and not text.lstrip().startswith('{"'):
            return {"text": text}
        try:
            row = json.loads(text)
        except json.JSONDecodeError as error:
            raise ValueError(f"not JSON ({error.msg} at column {error.colno})") from None
        if not isinstance(row, dict) or not isinstance(row.get("text"), str):
            raise ValueError('expected an object with a string "text"')
        try:
            json.dumps(row, ensure_ascii=False).encode("utf8")
        except UnicodeEncodeError:
            raise ValueError("it holds half of a surrogate pair, which is no character") from None
        return row


def parquet_lines(path: Path) -> tuple[int, Iterator[bytes]]:
    """Number of rows of a Parquet file, and its rows as JSON lines, a batch at a time.

    RAISES (ValueError): pyarrow is missing, or the file has no column "text".
    """
    try:
        import pyarrow.parquet as parquet
    except ImportError:
        raise ValueError(f"Reading '{path}' needs pyarrow: pip install 'metaie-spacy[parquet]'.") from None
    try:
        file = parquet.ParquetFile(path)
    except (OSError, ValueError) as error:
        raise ValueError(f"'{path}' is no Parquet file: {error}") from None
    names = file.schema_arrow.names
    if "text" not in names:
        raise ValueError(f"'{path}' has no column \"text\", only {names}. Rename the column that holds the texts.")
    columns = [name for name in ("id", "text", "meta", "source") if name in names]

    def lines() -> Iterator[bytes]:
        for batch in file.iter_batches(columns=columns):
            for row in batch.to_pylist():
                yield json.dumps({k: v for k, v in row.items() if v is not None}, default=str).encode("utf8")

    return file.metadata.num_rows, lines()


def passages(rows: Iterable[tuple[int, dict]], cut: Callable[[str], list[tuple[int, int]]]) -> Iterator[dict]:
    """Rows as passages short enough for a teacher and a student.

    A passage of a longer text has the id "<id>#<number>" and tells its offset in
    `meta["start"]`; a text without an id gets one that depends on its words alone, so that a run
    can be resumed when lines were added before it.

    rows (Iterable): line number and row, as `TextReader.rows`.
    cut (Callable): text -> character offsets of its passages, as of `passage_cutter`.
    YIELDS (dict): `{"id", "text", "meta"?, "source"?}`.
    """
    for _, row in rows:
        text = row["text"]
        id = str(row["id"]) if row.get("id") not in (None, "") else hashlib.sha1(text.encode("utf8")).hexdigest()[:12]
        kept = {name: row[name] for name in ("meta", "source") if row.get(name)}
        places = cut(text)
        if len(places) == 1:
            yield {"id": id, "text": text[slice(*places[0])], **kept}
            continue
        meta = kept.pop("meta", {})
        meta = meta if isinstance(meta, dict) else {"meta": meta}
        for i, (start, end) in enumerate(places):
            yield {"id": f"{id}#{i}", "text": text[start:end], **kept, "meta": {**meta, "start": start}}


def passage_cutter(max_words: int, *, lang: str = "en") -> Callable[[str], list[tuple[int, int]]]:
    """A function that cuts a text at sentence ends into passages of at most so many tokens.

    Sentences that fit together share a passage; one that is longer by itself is cut between tokens.

    max_words (int): tokens of a passage; 0: texts stay whole.
    RETURNS (Callable): text -> character offsets of its passages, without the white space around
        them; none for a blank text.
    RAISES (ValueError): a negative number.
    """
    import spacy

    if max_words < 0:
        raise ValueError(f"max_words is {max_words}; give a number of tokens, or 0 to leave texts whole.")
    nlp = spacy.blank(lang)
    nlp.add_pipe("sentencizer", config={"punct_chars": None})
    nlp.max_length = 10**9

    def cut(text: str) -> list[tuple[int, int]]:
        if not text.strip():
            return []
        if not max_words:
            return [_stripped(text, 0, len(text))]
        sentences = [part for sent in nlp(text).sents for part in _pieces(sent, max_words)]
        groups: list[list] = []
        for start, end, words in sentences:
            if groups and groups[-1][2] + words <= max_words:
                groups[-1][1:] = [end, groups[-1][2] + words]
            else:
                groups.append([start, end, words])
        return [_stripped(text, start, end) for start, end, _ in groups if text[start:end].strip()]

    return cut


def _pieces(sent: Any, max_words: int) -> Iterator[tuple[int, int, int]]:
    """A sentence, or its parts of at most `max_words` tokens: start and end character, tokens."""
    for i in range(0, len(sent), max_words):
        part = sent[i : i + max_words]
        yield part.start_char, part.end_char, len(part)


def _stripped(text: str, start: int, end: int) -> tuple[int, int]:
    part = text[start:end]
    return start + len(part) - len(part.lstrip()), start + len(part.rstrip())


def _flat(text: str) -> str:
    """A text argument on one line.

    RAISES (ValueError): it holds bytes that are not UTF-8.
    """
    try:
        text.encode("utf8")
    except UnicodeEncodeError:
        raise ValueError("The text is not UTF-8.") from None
    return " ".join(text.splitlines()) if "\n" in text or "\r" in text else text


def _as_file(source: str | None) -> Path | None:
    if source is None or "\n" in source or len(source) > 1000:
        return None
    path = Path(source)
    if path.is_file():
        return path
    if path.suffix in (".txt", ".parquet", *JSONL) and " " not in source:
        raise ValueError(f"There is no file '{source}'.")
    return None
