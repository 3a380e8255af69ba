"""Long texts cut into passages."""

from typing import Any, Callable, Iterable, Iterator

from .documents import text_id
from .rows import row_id
from .tokens import make_doc


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
        id = row_id(row.get("id")) or text_id(text)
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
        sentences = [part for sent in nlp(make_doc(nlp, text)).sents for part in _parts_of(sent, max_words)]
        groups: list[list] = []
        for start, end, words in sentences:
            if groups and groups[-1][2] + words <= max_words:
                groups[-1][1:] = [end, groups[-1][2] + words]
            else:
                groups.append([start, end, words])
        return [_stripped(text, start, end) for start, end, _ in groups if text[start:end].strip()]

    return cut


def _parts_of(sent: Any, max_words: int) -> Iterator[tuple[int, int, int]]:
    """A sentence, or its parts of at most `max_words` tokens: start and end character, tokens."""
    for i in range(0, len(sent), max_words):
        part = sent[i : i + max_words]
        yield part.start_char, part.end_char, len(part)


def _stripped(text: str, start: int, end: int) -> tuple[int, int]:
    part = text[start:end]
    return start + len(part) - len(part.lstrip()), start + len(part.rstrip())
