"""Annotation rows: reading them, and their spans on tokens."""
import hashlib
import json
import logging
from pathlib import Path
from typing import TYPE_CHECKING, Callable, Iterable, Iterator, NamedTuple

if TYPE_CHECKING:
    from spacy.language import Language
    from spacy.training import Example

logger = logging.getLogger("metaie_spacy")


class Item(NamedTuple):
    """One annotated text on tokens.

    id (str): the row's id. words (list[str]): its tokens.
    spans (list[tuple[int, int, str]]): first token, end token (exclusive), label; spans of one
        label do not overlap.
    absent (list[str]): labels that were asked and have no answer in the text.
    """

    id: str
    words: list[str]
    spans: list[tuple[int, int, str]]
    absent: list[str]


def read_rows(path: str | Path) -> Iterator[dict]:
    """Annotation rows of a JSONL file, checked one by one.

    path (str | Path): rows `{"id"?, "text", "spans": [{"start", "end", "label"}], "absent"?}`,
        offsets in characters, end exclusive.
    YIELDS (dict): the rows.
    RAISES (ValueError): a line is no such row; the message says which line and what is wrong.
    """
    path = Path(path)
    if not path.exists():
        raise ValueError(f"There is no corpus file '{path}'.")
    with path.open(encoding="utf-8-sig") as file:  # Windows tools begin a file with a mark
        for number, line in enumerate(file, 1):
            if line.strip():
                try:
                    row = json.loads(line)
                    check_row(row)
                except (ValueError, TypeError) as error:
                    raise ValueError(f"{path}, line {number}: {error}") from None
                row.setdefault("id", str(number))
                yield row


def read_chosen(path: str | Path, only: str | Path | None) -> list[dict]:
    """The rows of a file, or those of them whose ids stand in the JSONL file `only`. RAISES (ValueError): as `read_rows`."""
    import srsly

    rows = list(read_rows(path))
    if only is None:
        return rows
    chosen = {row["id"] for row in srsly.read_jsonl(only)}
    return [row for row in rows if row["id"] in chosen]


def own_and_absent(row: dict) -> list[str]:
    """The labels that a row answers: those of its spans, then those noted as absent, each once."""
    return list(dict.fromkeys([span["label"] for span in row["spans"]] + list(row.get("absent", []))))


def check_row(row: dict) -> None:
    """RAISES (ValueError): the row breaks the annotation contract."""
    if not isinstance(row, dict) or not isinstance(row.get("text"), str):
        raise ValueError('expected an object with a string "text".')
    if not isinstance(row.get("spans"), list):
        raise ValueError('"spans" must be a list of {"start", "end", "label"}.')
    for span in row["spans"]:
        if not isinstance(span, dict) or not all(isinstance(span.get(key), int) for key in ("start", "end")):
            raise ValueError(f'the span {span} must have whole numbers "start" and "end".')
        if not isinstance(span.get("label"), str) or not span["label"].strip():
            raise ValueError(f'the span {span} must have a non-empty string "label".')
        if not 0 <= span["start"] < span["end"] <= len(row["text"]):
            raise ValueError(
                f"the span {span['start']}:{span['end']} ({span['label']!r}) lies outside its text of "
                f"{len(row['text'])} characters or is empty."
            )
    absent = row.get("absent", [])
    if not isinstance(absent, list) or not all(isinstance(label, str) and label.strip() for label in absent):
        raise ValueError('"absent" must be a list of non-empty strings.')


def read_items(path: str | Path, tokenize: Callable[[str], list[tuple[int, int]]]) -> list[Item]:
    """Rows as items; spans that do not end at token boundaries, or overlap a longer span of their
    label, are left out, and their number is logged.

    path (str | Path): an annotations file.
    tokenize (Callable): text -> character offsets of its tokens.
    RAISES (ValueError): as `read_rows`.
    """
    return rows_to_items(read_rows(path), tokenize, str(path))


def rows_to_items(rows: Iterable[dict], tokenize: Callable[[str], list[tuple[int, int]]], source: str) -> list[Item]:
    """`read_items` on rows that were read already. source (str): names them in the log."""
    items, misaligned, overlapping, total = [], 0, 0, 0
    for row in rows:
        offsets = tokenize(row["text"])
        starts = {start: i for i, (start, _) in enumerate(offsets)}
        ends = {end: i + 1 for i, (_, end) in enumerate(offsets)}
        spans = []
        for span in row["spans"]:
            total += 1
            start, end = starts.get(span["start"]), ends.get(span["end"])
            if start is None or end is None:
                misaligned += 1
            else:
                spans.append((start, end, span["label"]))
        kept = longest_first(spans)
        overlapping += len(spans) - len(kept)
        words = [row["text"][start:end] for start, end in offsets]
        items.append(Item(row["id"], words, kept, list(row.get("absent", []))))
    if misaligned or overlapping:
        logger.warning(
            "%s: of %d spans, %d do not align with the tokens and %d overlap a longer span of their label; "
            "they are not trained on.", source, total, misaligned, overlapping,
        )  # fmt: skip
    return items


def example_item(eg: "Example", spans_key: str) -> Item:
    """The gold spans of an example on the tokens of its predicted doc.

    Labels in `_.metaie_labels` that have no span are its absent labels.
    """
    group = eg.reference.spans[spans_key] if spans_key in eg.reference.spans else []
    spans = [(span.start, span.end, span.label_) for span in eg.get_aligned_spans_y2x(group, allow_overlap=True)]
    with_spans = {label for _, _, label in spans}
    absent = [label for label in eg.reference._.metaie_labels or [] if label not in with_spans]
    return Item("", [token.text for token in eg.predicted], longest_first(spans), absent)


def survey(examples: Iterable["Example"], spans_key: str) -> tuple[list[Item], list[str], bool]:
    """What a corpus asks for.

    RETURNS (tuple): the examples as items, the labels of those that bring no labels of their own,
        sorted, and whether any brings some.
    RAISES (ValueError): no example has spans under `spans_key`, but some have others.
    """
    items, found, others, is_open = [], set(), set(), False
    for eg in examples:
        others.update(key for key, group in eg.reference.spans.items() if len(group) and key != spans_key)
        others.update(["doc.ents"] if eg.reference.ents else [])
        if spans_key not in eg.reference.spans:
            continue
        items.append(example_item(eg, spans_key))
        if eg.reference._.metaie_labels is None:
            found.update(span.label_ for span in eg.reference.spans[spans_key])
        else:
            is_open = True
    if others and not any(item.spans for item in items):
        raise ValueError(
            f"No example has a span in doc.spans['{spans_key}'], only in {sorted(others)}. "
            "Set spans_key in the component's block of the config to the key of your data."
        )
    return items, sorted(found), is_open


def longest_first(spans: list[tuple[int, int, str]]) -> list[tuple[int, int, str]]:
    """The spans without those that overlap a longer (then earlier) one of their own label."""
    kept, taken = [], set()
    for start, end, label in sorted(set(spans), key=lambda s: (s[0] - s[1], s)):
        places = {(i, label) for i in range(start, end)}
        if not places & taken:
            taken |= places
            kept.append((start, end, label))
    return sorted(kept)


def blank_tokenizer(lang: str = "en") -> Callable[[str], list[tuple[int, int]]]:
    """spaCy's tokenizer of a language as a function from text to character offsets."""
    import spacy

    tokenizer = spacy.blank(lang).tokenizer

    def tokenize(text: str) -> list[tuple[int, int]]:
        return [(token.idx, token.idx + len(token)) for token in tokenizer(text)]

    return tokenize


def split_dev(items: list[Item], share: float, seed: int) -> tuple[list[Item], list[Item]]:
    """Split by document: items with the same id, or the same first id part before '#', stay together.

    RETURNS (tuple): train items, dev items. The same ids give the same split in any order.
    """
    held = [is_dev(item.id, share, seed) for item in items]
    return [item for item, out in zip(items, held) if not out], [item for item, out in zip(items, held) if out]


def is_dev(row_id: str, share: float, seed: int) -> bool:
    """Whether `split_dev` holds the row of this id out."""
    digest = hashlib.sha256(f"{seed}:{row_id.split('#')[0]}".encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64 < share


def make_corpus(
    path: str | Path,
    spans_key: str = "metaie",
    limit: int = 0,
    closed: bool = False,
    ents: bool = False,
    from_key: str | None = None,
) -> Callable[["Language"], Iterator["Example"]]:
    """`metaie-spacy.Corpus.v1`: annotation rows, or spaCy's own binary files, as training examples.

    path (str | Path): an annotations file (JSONL), or a `.spacy` file.
    spans_key (str): where the spans go in `doc.spans`.
    limit (int): at most so many rows; 0: all.
    closed (bool): all docs share one set of labels, as in few-shot training; else every doc brings
        its own in `doc._.metaie_labels`: those with spans and those noted as absent.
    ents (bool): the spans are `doc.ents` too, of overlapping ones the longest, so that `ner` can
        be trained from the same rows.
    from_key (str | None): the group of a `.spacy` file that holds the spans, such as "sc"; "ents"
        takes `doc.ents`; None: `spans_key`.
    RETURNS (Callable): nlp -> examples.
    RAISES (ValueError): no path, a bad row, or a `.spacy` file without that group.
    """
    if not str(path):
        raise ValueError("The corpus has no path: pass --paths.train and --paths.dev, or set them in [paths].")

    def read(nlp: "Language") -> Iterator["Example"]:
        from spacy.util import filter_spans

        is_binary = Path(path).suffix == ".spacy"
        source = _binary_examples(nlp, Path(path), spans_key, from_key or spans_key) if is_binary else _row_examples(nlp, path, spans_key)
        for number, (eg, absent) in enumerate(source):
            if limit and number >= limit:
                break
            group = eg.reference.spans[spans_key]
            if ents:
                eg.reference.ents = filter_spans(group)
            if not closed:
                own = list(dict.fromkeys([span.label_ for span in group] + absent))
                eg.predicted._.metaie_labels = eg.reference._.metaie_labels = own
            yield eg

    return read


def _row_examples(nlp: "Language", path: str | Path, spans_key: str) -> Iterator[tuple["Example", list[str]]]:
    """Examples of annotation rows, with the labels that have no answer. Spans that do not align are counted."""
    from spacy.tokens import SpanGroup
    from spacy.training import Example

    misaligned = 0
    for row in read_rows(path):
        predicted, reference = nlp.make_doc(row["text"]), nlp.make_doc(row["text"])
        spans = [reference.char_span(s["start"], s["end"], label=s["label"]) for s in row["spans"]]
        misaligned += spans.count(None)
        kept = [span for span in spans if span is not None]
        reference.spans[spans_key] = SpanGroup(reference, name=spans_key, spans=kept)
        yield Example(predicted, reference), list(row.get("absent", []))
    if misaligned:
        logger.warning("%s: %d spans do not align with the tokens and are left out.", path, misaligned)


def _binary_examples(nlp: "Language", path: Path, spans_key: str, from_key: str) -> Iterator[tuple["Example", list[str]]]:
    """Examples of a `.spacy` file; a label that the file has and a doc has not is no absent label of it."""
    from spacy.tokens import SpanGroup
    from spacy.training import Corpus

    if not path.exists():
        raise ValueError(f"There is no corpus file '{path}'.")
    found, others = 0, set()
    for eg in Corpus(path)(nlp):
        doc = eg.reference
        spans = doc.ents if from_key == "ents" and "ents" not in doc.spans else doc.spans[from_key] if from_key in doc.spans else []
        found, others = found + len(spans), others | set(doc.spans) | ({"ents"} if doc.ents else set())
        doc.spans[spans_key] = SpanGroup(doc, name=spans_key, spans=list(spans))
        yield eg, []
    if not found:
        raise ValueError(f"No doc of '{path}' has a span under '{from_key}', only under {sorted(others - {spans_key}) or 'nothing'}. Set from_key of the reader.")
