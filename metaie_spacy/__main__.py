"""The command line: `python -m metaie_spacy`. Arguments and messages only."""
import json
import logging
import sys
from contextlib import ExitStack
from enum import Enum
from pathlib import Path
from typing import Iterator, Optional

import typer
from tqdm import tqdm

from .schema import read_labels

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)

DEFAULT_LABELS = "person, organization, location, date, event, product"
BATCH = 64


class Format(str, Enum):
    table = "table"
    jsonl = "jsonl"
    html = "html"


@app.command()
def extract(
    source: Optional[str] = typer.Argument(None, help="A text, or a file (.txt: a text a line; .jsonl: objects with a \"text\"); nothing or '-': stdin"),
    labels: str = typer.Option(DEFAULT_LABELS, help='What to look for: "person, date of birth"'),
    model: str = typer.Option("en_metaie_sm", help="A spaCy pipeline with a metaie component: package or path"),
    threshold: Optional[float] = typer.Option(None, help="Between 0 and 1; higher gives fewer, surer spans"),
    format: Format = typer.Option(Format.table, help="table, jsonl, or html (displaCy's span view)"),
    output: Optional[Path] = typer.Option(None, help="Write the result here instead of to stdout"),
    errors: Optional[Path] = typer.Option(None, help="Keep bad input lines here, as they came"),
) -> None:
    """Extract labelled spans from a text, a file or stdin."""
    nlp = load_pipeline(model)
    pipe = nlp.get_pipe("metaie")
    pipe.labels = read_labels(labels)
    if threshold is not None:
        pipe.threshold = threshold
    with ExitStack() as stack:
        reader = Reader(source, stack.enter_context(errors.open("wb")) if errors else None, stack)
        out = stack.enter_context(output.open("w", encoding="utf8")) if output else sys.stdout
        bar = stack.enter_context(tqdm(total=reader.total, unit="text", desc="extract", mininterval=1, disable=reader.total < 2))
        found = annotated(nlp, reader, bar)
        if format is Format.html:
            out.write(render_html(found, pipe.spans_key) + "\n")
        else:
            for id, doc in found:
                rows = span_rows(doc, pipe.spans_key)
                text = json.dumps({"id": id, "text": doc.text, "spans": rows}, ensure_ascii=False) if format is Format.jsonl else table(id, doc, rows, reader.total != 1)
                print(text, file=out)
    if reader.bad:
        kept = f"they are kept in {errors}" if errors else "--errors FILE keeps them"
        sys.stderr.write(f"{reader.bad} bad line(s) left out; {kept}.\n")


class Reader:
    """Texts of one source, read lazily; bad lines are reported with their number and kept.

    source (str | None): a text, a file's path, or None or "-" for stdin.
    """

    def __init__(self, source: str | None, errors, stack: ExitStack):
        self.errors, self.bad = errors, 0
        self.name, self.is_jsonl, self.lines, self.total = "stdin", False, None, 0
        path = _as_file(source)
        if source is None or source == "-":
            self.lines = sys.stdin.buffer
            self.total = None
        elif path is None:
            self.text = source
            self.total = 1
        else:
            self.name, self.is_jsonl = str(path), path.suffix in (".jsonl", ".ndjson")
            with path.open("rb") as file:
                self.total = sum(1 for line in file if line.strip())
            self.lines = stack.enter_context(path.open("rb"))

    def __iter__(self) -> Iterator[tuple[str, str]]:
        if self.lines is None:
            yield "1", self.text
            return
        for number, line in enumerate(self.lines, 1):
            if not line.strip():
                continue
            try:
                yield self._parse(line, number)
            except ValueError as error:
                self.bad += 1
                sys.stderr.write(f"{self.name}, line {number}: {error}\n")
                if self.errors:
                    self.errors.write(line if line.endswith(b"\n") else line + b"\n")

    def _parse(self, line: bytes, number: int) -> tuple[str, str]:
        try:
            text = line.decode("utf8").rstrip("\r\n")
        except UnicodeDecodeError as error:
            raise ValueError(f"not UTF-8 ({error.reason} at byte {error.start})") from None
        if not self.is_jsonl and not text.lstrip().startswith('{"'):
            return str(number), text
        try:
            row = json.loads(text)
        except json.JSONDecodeError as error:
            raise ValueError(f"not JSON ({error.msg} at column {error.colno})") from None
        if not isinstance(row, dict) or not isinstance(row.get("text"), str):
            raise ValueError('expected an object with a string "text"')
        try:
            row["text"].encode("utf8")
        except UnicodeEncodeError:
            raise ValueError("the text holds half of a surrogate pair, which is no character") from None
        return str(row.get("id", number)), row["text"]


def _as_file(source: str | None) -> Path | None:
    if source is None or "\n" in source or len(source) > 1000:
        return None
    path = Path(source)
    if path.is_file():
        return path
    if path.suffix in (".txt", ".jsonl", ".ndjson") and " " not in source:
        fail(f"There is no file '{source}'.")
    return None


def annotated(nlp, reader: Reader, bar) -> Iterator[tuple]:
    """(id, doc) of every text, in order; a text that fails is reported like a bad line."""
    import itertools

    texts = iter(reader)
    while part := list(itertools.islice(texts, BATCH)):
        for id, text in part:
            # A doc that fails inside nlp.pipe would shift the ids: long texts are refused here.
            if len(text) > nlp.max_length:
                reader.bad += 1
                sys.stderr.write(f"{reader.name}, id {id}: {len(text)} characters, more than the limit of {nlp.max_length}.\n")
        part = [(text, id) for id, text in part if len(text) <= nlp.max_length]
        for doc, id in nlp.pipe(part, as_tuples=True):
            bar.update()
            yield id, doc


def span_rows(doc, key: str) -> list[dict]:
    group = doc.spans[key]
    return [
        {"start": span.start_char, "end": span.end_char, "text": span.text, "label": span.label_, "score": round(float(score), 4)}
        for span, score in zip(group, group.attrs["scores"])
    ]


def table(id: str, doc, rows: list[dict], with_id: bool) -> str:
    """One text's spans in columns."""
    import wasabi

    head = f"{id}: {doc.text}" if with_id else doc.text
    if not rows:
        return f"\n{head}\n(no spans)"
    data = [(row["label"], row["text"].replace("\n", " "), f"{row['score']:.2f}", f"{row['start']}-{row['end']}") for row in rows]
    return f"\n{head}\n" + wasabi.table(data, header=("label", "text", "score", "characters"), divider=True, aligns=("l", "l", "r", "r"), max_col=60)


def render_html(found: Iterator[tuple], key: str) -> str:
    from spacy import displacy

    docs = [doc for _, doc in found]
    return displacy.render(docs, style="span", page=True, jupyter=False, options={"spans_key": key})


@app.command()
def evaluate(
    model: str = typer.Argument(..., help="A spaCy pipeline with a metaie component: package or path"),
    data: Path = typer.Argument(..., help="Annotated rows (JSONL)"),
    labels: Optional[str] = typer.Option(None, help="Ask these of every text; without it, each text's own and absent labels"),
    threshold: Optional[float] = typer.Option(None, help="Between 0 and 1"),
    limit: int = typer.Option(0, help="Only the first rows; 0: all"),
    output: Optional[Path] = typer.Option(None, help="Write all figures here (JSON)"),
) -> None:
    """Score a pipeline on annotated rows: exact-match precision, recall and F."""
    from .evaluate import evaluate as run

    nlp = load_pipeline(model)
    if threshold is not None:
        nlp.get_pipe("metaie").threshold = threshold
    result = run(nlp, data, labels=read_labels(labels) if labels else None, limit=limit, progress=True)
    if output:
        output.write_text(json.dumps(result, indent=1), encoding="utf8")
    print(f"P {result['p']:.3f}  R {result['r']:.3f}  F {result['f']:.3f}  ({result['spans']} gold spans, {result['texts']} texts)")


@app.command()
def distill(
    corpus: list[str] = typer.Argument(..., help="Annotation files (JSONL); 'file.jsonl:0.5' sees half of it an epoch, ':2' twice"),
    output: Path = typer.Option(..., help="Takes the weights, the checkpoint and the log; the same call resumes"),
    encoder: str = typer.Option("sentence-transformers/all-MiniLM-L6-v2", help="Hugging Face name or directory"),
    architecture: str = typer.Option("LabelToSpan", help="LabelToSpan or CrossEncoder"),
    text_sees_labels: bool = typer.Option(True, help="Whether a text's states depend on the labels asked"),
    lang: str = typer.Option("en", help="Language of the tokenizer"),
    epochs: float = typer.Option(4.0, help="Passes over the corpus"),
    batch_size: int = typer.Option(16),
    lr: float = typer.Option(2e-4, help="Learning rate of the encoder; the head's is 8 times it"),
    dev_share: float = typer.Option(0.1, help="Share of the texts that is held out"),
    seed: int = typer.Option(0),
    mixed_precision: str = typer.Option("no", help="no, bf16 or fp16"),
) -> None:
    """Train an open-label model on annotation rows (needs the extra 'train')."""
    from .corpus import blank_tokenizer
    from .distill import Settings
    from .distill import distill as run

    logging.basicConfig(level=logging.INFO, format="%(message)s")
    logging.getLogger("accelerate").setLevel(logging.WARNING)
    settings = Settings(
        encoder, architecture=architecture, text_sees_labels=text_sees_labels, epochs=epochs, batch_size=batch_size, lr=lr,
        dev_share=dev_share, seed=seed, mixed_precision=mixed_precision,
    )  # fmt: skip
    result = run(dict(corpus_weight(entry) for entry in corpus), output, settings, tokenize=blank_tokenizer(lang))
    print(json.dumps(result))


@app.command()
def assemble(
    weights: str = typer.Argument(..., help="The model/ directory of a distillation, or a package"),
    output: Path = typer.Argument(..., help="Takes the pipeline; then run: python -m spacy package"),
    lang: str = typer.Option("en", help="Language of the pipeline"),
    name: str = typer.Option("metaie_sm", help="Name of the package, without the language"),
    meta: Optional[Path] = typer.Option(None, help="JSON that is merged into meta.json"),
    save_dtype: str = typer.Option("float16", help="float16 or float32"),
    architecture: str = typer.Option("LabelToSpan", help="LabelToSpan or CrossEncoder"),
) -> None:
    """Write trained weights as a spaCy pipeline."""
    from .assemble import assemble as run

    run(weights, output, lang=lang, name=name, meta=meta, save_dtype=save_dtype, architecture=architecture)


def corpus_weight(entry: str) -> tuple[str, float]:
    """'file.jsonl:0.5' -> ('file.jsonl', 0.5)"""
    path, colon, weight = entry.rpartition(":")
    try:
        return (path, float(weight)) if colon and not Path(entry).exists() else (entry, 1.0)
    except ValueError:
        return entry, 1.0


def load_pipeline(name: str):
    """A pipeline that has a metaie component.

    RAISES (SystemExit): there is none; the reason goes to stderr.
    """
    import spacy

    try:
        nlp = spacy.load(name)
    except (OSError, ValueError) as error:
        fail(f"Cannot load '{name}': {error}")
    if "metaie" not in nlp.pipe_names:
        fail(f"The pipeline '{name}' has no component 'metaie', only {nlp.pipe_names}.")
    return nlp


def fail(message: str) -> None:
    sys.stderr.write(message + "\n")
    raise SystemExit(1)


def main() -> None:
    try:
        app()
    except ValueError as error:
        fail(str(error))


if __name__ == "__main__":
    main()
