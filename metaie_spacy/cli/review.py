"""The command that has people review rows on a local page. Arguments and messages only."""

import getpass
import logging
import re
from pathlib import Path
from typing import Any

import typer
import wasabi

from ..data.files import check_apart
from ..data.inert import for_terminal
from .options import asked, lacking

app = typer.Typer()
NAME = re.compile(r"[^\W+:][^\s+:]{0,49}")


@app.command()
def review(
    files: list[Path] = typer.Argument(
        ...,
        help="Annotated rows, what 'extract --format jsonl' wrote, or texts (JSONL); rows of one text by several "
        "teachers are shown as one",
    ),
    model: str | None = typer.Option(
        None, help="A pipeline to try labels with, and to ask for proposals: package or path; without it none"
    ),
    answers: Path | None = typer.Option(
        None, help="Takes the answers, a line each, and goes on where it ended; without it FILE.answers.jsonl"
    ),
    reviewer: list[str] = typer.Option(
        [], help="Who reviews; several times for several people, each of whom gets an address; without it your login"
    ),
    overlap: float = typer.Option(
        0.0, help="Share of the rows that two people review, so that their agreement is known; 0: none"
    ),
    labels: str | None = typer.Option(
        None, help='Labels that are looked for in every row, beside its own: "person, date of birth"'
    ),
    schema: Path | None = typer.Option(None, help="JSON file with these labels"),
    lang: str = typer.Option("en", help="Language of the texts, whose words are selected"),
    port: int = typer.Option(0, help="Port of 127.0.0.1 to listen on; 0: any that is free"),
    gpu: int = typer.Option(-1, help="Number of the GPU to use; -1: the CPU"),
    export: Path | None = typer.Option(
        None, help="Write the answers that stand as annotation rows here, a row a text, and end"
    ),
) -> None:
    """Review rows on a local web page: accept, correct, add; the most doubtful first (needs the extra 'review')."""
    answers = answers or files[0].with_name(f"{files[0].name.removesuffix('.jsonl')}.answers.jsonl")
    check_apart(answers, *files, model, schema)
    try:
        if export is not None:
            _export(answers, export, files)
            return
        names = _reviewers(reviewer, overlap)
        wanted = asked(labels, schema, None)
        _serve(files, answers, names, overlap, list((wanted or {"labels": ()})["labels"]), model, lang, port, gpu)
    except ModuleNotFoundError as error:
        if "metaie-spacy[" not in lacking(error):
            raise
        raise ImportError(f"This needs the package '{error.name}': pip install 'metaie-spacy[review]'.") from None


def _export(answers: Path, output: Path, files: list[Path]) -> None:
    from ..review.answers import export

    check_apart(output, *files)
    result = export(answers, output)
    left = ", ".join(f"{why} {n}" for why, n in result["left_out"].items())
    wasabi.msg.good(f"{output}: {result['rows']} rows" + (f"; left out: {left}" if left else ""))


def _serve(
    files: list[Path],
    path: Path,
    names: list[str],
    overlap: float,
    labels: list[str],
    model: str | None,
    lang: str,
    port: int,
    gpu: int,
) -> None:
    from ..review.answers import Answers
    from ..review.app import make_app
    from ..review.entries import read_entries
    from ..review.queue import Queue
    from ..review.review import Review
    from ..review.words import Words
    from ..serving.server import listen, run

    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(message)s")
    if lang != "en":  # which is there, and takes seconds to look at
        from ..convert.convert import check_lang

        check_lang(lang)
    entries, items, entry_of = read_entries(files)
    listening = listen("127.0.0.1", port)
    book = Answers(path)
    try:
        service = None if model is None else _service(model, gpu)
        words = Words(lang)
        queue = Queue(entries, book, overlap=overlap)
        going = Review(queue, book, names, words, labels=labels, name=files[0].name)
        elsewhere = sum(queue.find(text) is None for text, own in book.standing.items() if own)
        if elsewhere:
            logging.warning("%d answers in '%s' are of texts that these files do not hold.", elsewhere, path)

        def ready() -> None:
            words.load()
            going.order(items, entry_of)
            print(f"{len(entries)} rows; the answers go to {for_terminal(str(path))}. Ctrl C ends it.")
            for name, token in going.tokens.items():
                whom = f" for {name}" if len(names) > 1 else ""
                print(f"Listening{whom} on http://127.0.0.1:{listening.getsockname()[1]}/#token={token}", flush=True)

        run(make_app(going, service), listening, ready)
    finally:
        book.close()
        listening.close()


def _service(model: str, gpu: int) -> Any:
    from ..serving.models import load_models
    from ..serving.service import Service

    return Service(load_models({Path(model).name: model}, {}, gpu=gpu))


def _reviewers(given: list[str], overlap: float) -> list[str]:
    """Who reviews. RAISES (ValueError): a name is none, or comes twice, or an overlap has nobody to overlap."""
    names = given or [_login()]
    for name in names:
        if not NAME.fullmatch(name):
            raise ValueError(f"--reviewer {name!r}: give a name without blanks, '+' and ':', of up to 50 letters.")
    if len(set(names)) < len(names):
        raise ValueError(f"--reviewer gives a name twice: {', '.join(names)}. Each person needs one.")
    if not 0 <= overlap <= 1:
        raise ValueError(f"--overlap must be a share from 0 to 1, not {overlap:g}.")
    if overlap and len(names) < 2:
        raise ValueError("--overlap gives rows to two people: name them by --reviewer ADA --reviewer BEN.")
    return names


def _login() -> str:
    try:
        name = re.sub(r"[\s+:]", "_", getpass.getuser())
    except (KeyError, OSError, ImportError):  # a user without a name
        return "reviewer"
    return name if NAME.fullmatch(name) else "reviewer"
