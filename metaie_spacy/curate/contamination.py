"""Rows that share words with texts that must stay unseen, such as a benchmark's."""

from pathlib import Path
from typing import Iterable, Iterator, Sequence

from ..data.jsonl import read_jsonl, read_text
from ..data.ledger import Ledger, Sourced
from .duplicates import words_of

GRAM = 8  # words in a row that two texts share by copying only


def drop_contaminated(items: Iterable[Sourced], against: Sequence[str | Path], ledger: Ledger) -> list[Sourced]:
    """The rows without any run of eight words of the given files; a shorter row must not be one of their texts.

    against (Sequence): JSONL files whose rows have a "text" (.jsonl, .ndjson), or plain text, in
        which a run of words may go over the end of a line.
    RAISES (ValueError): a file is missing or cannot be read: what it holds could not be kept out.
    """
    runs: dict[str, str] = {}
    texts: dict[str, str] = {}
    for path in against:
        for words, is_text in read_words(Path(path)):
            for run in runs_of(words):
                runs.setdefault(run, str(path))
            if is_text:
                texts.setdefault(" ".join(words), str(path))
    kept = []
    for item in items:
        words = words_of(item.row["text"])
        found = [run for run in runs_of(words) if run in runs]
        if found:
            ledger.drop_row(item, "contaminated", f"{runs[found[0]]}: {found[0]}")
        elif 0 < len(words) < GRAM and " ".join(words) in texts:
            ledger.drop_row(item, "contaminated", f"{texts[' '.join(words)]}: the whole text")
        else:
            kept.append(item)
    return kept


def runs_of(words: Sequence[str]) -> list[str]:
    """All runs of eight words."""
    return [" ".join(words[i : i + GRAM]) for i in range(len(words) - GRAM + 1)]


def read_words(path: Path) -> Iterator[tuple[list[str], bool]]:
    """The words of a file's texts, and whether they are a text of their own or a whole plain file.

    RAISES (ValueError): as `drop_contaminated`.
    """
    if not path.is_file():
        raise ValueError(f"There is no file '{path}' to check the rows against.")
    if path.suffix not in (".jsonl", ".ndjson"):
        lines = read_text(path).split("\n")
        yield words_of("\n".join(lines)), False
        yield from ((words_of(line), True) for line in lines)
        return
    for line in read_jsonl(path):
        text = line.value.get("text") if isinstance(line.value, dict) else None
        if not isinstance(text, str):
            why = f"{line.error}. " if line.error else ""
            raise ValueError(
                f'{path}, line {line.number}: {why}Expected an object with a string "text". '
                f"Plain text needs another ending than {path.suffix}."
            )
        yield words_of(text), True
