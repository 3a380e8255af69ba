"""The command line: `python -m metaie_spacy`. Arguments and messages only."""

import json
import logging
import os
import sys
from contextlib import ExitStack
from enum import Enum
from pathlib import Path

import typer
from tqdm import tqdm

from ..data.files import check_apart, replacing, write_text, writing
from ..encodings import check_encoding
from ..model.defaults import ENCODER, HEAD_SCALE
from ..pipelines import active_pipe, load_pipeline, read_with
from ..train.settings import ADAPTER_RANK, DistillSettings, FewShotSettings
from . import auditing, project, release, review, route, serve
from .bulk import (
    ADDRESS,
    ENGINE,
    LABELS_FROM,
    SHARD_ROWS,
    SPANS_FIELD,
    WORKERS,
    Engine,
    extract_into_folder,
    is_into_folder,
)
from .options import (
    ADAPTER,
    ENCODING,
    asked,
    before_and_after,
    check_has_links,
    check_output,
    corpus_weight,
    fail,
    label_table,
    lacking,
)

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)
app.registered_commands += project.app.registered_commands
app.registered_commands += release.app.registered_commands
app.registered_commands += serve.app.registered_commands
app.registered_commands += review.app.registered_commands
app.add_typer(route.app, name="route")
app.add_typer(auditing.app, name="audit")
DEFAULT_LABELS = "person, organization, location, date, event, product"


class Format(str, Enum):
    table = "table"
    jsonl = "jsonl"
    csv = "csv"
    triples = "triples"
    jsonld = "jsonld"
    html = "html"
    parquet = "parquet"


@app.command()
def extract(
    source: str | None = typer.Argument(
        None,
        help='A text, or a file (.txt: a text a line; .jsonl: objects with a "text"; .csv, .tsv, .parquet: a column); '
        "nothing or '-': stdin; into a folder also a pattern, such as 'texts/*.jsonl.gz', .zst, and fsspec's addresses",
    ),
    labels: str | None = typer.Option(
        None, help=f'What to look for: "person, date of birth"; without it and --schema: "{DEFAULT_LABELS}"'
    ),
    schema: Path | None = typer.Option(
        None,
        help='JSON file: {"labels": {"DOB": {"query": "date of birth", "threshold": 0.6}}, "flat": true}; '
        "assets/schemas/ has ready ones with links",
    ),
    model: str = typer.Option("en_metaie_sm", help="A spaCy pipeline with a metaie component: package or path"),
    adapter: Path | None = ADAPTER,
    threshold: float | None = typer.Option(None, help="Between 0 and 1; higher gives fewer, surer spans"),
    gpu: int = typer.Option(-1, help="Number of the GPU to use; -1: the CPU"),
    format: Format = typer.Option(
        Format.table,
        help="table, jsonl (other fields of a row are kept), csv (a line a span), triples (CSV, a line a fact of all "
        "texts), jsonld (the same as a graph), or html (displaCy's span view, links as arcs); into a folder jsonl or "
        "parquet",
    ),
    output: str | None = typer.Option(
        None,
        help="Write the result here instead of to stdout: a file, or a folder (FOLDER/) of shards, which the same "
        "command goes on filling if it was killed",
    ),
    errors: Path | None = typer.Option(None, help="Keep bad input lines here, as they came"),
    encoding: str | None = ENCODING,
    text_field: str = typer.Option("text", help="Field or column of the source that holds the text"),
    labels_from: str | None = LABELS_FROM,
    spans_field: str = SPANS_FIELD,
    workers: int | None = WORKERS,
    shard_rows: int = SHARD_ROWS,
    engine: Engine = ENGINE,
    address: str | None = ADDRESS,
) -> None:
    """Extract labelled spans from a text, a file or stdin, or from files into a folder."""
    settings = asked(labels, schema, None if adapter or labels_from else DEFAULT_LABELS)
    if format in (Format.triples, Format.jsonld):
        check_has_links(settings, f"--format {format.value}")
    if encoding is not None:
        check_encoding(encoding)
    only_folders = (workers, engine is Engine.ray, address, labels_from, spans_field != "spans")
    if is_into_folder(source, output, *only_folders, format is Format.parquet):
        own = {"model": model, "text": text_field, "output": spans_field, "labels_from": labels_from}
        own |= {"threshold": threshold, "adapter": adapter, "gpu": gpu}
        run = {"workers": workers or 0, "shard_rows": shard_rows, "encoding": encoding, "address": address}
        places = {"schema": schema, "errors": errors, "engine": engine}
        extract_into_folder(source, output, settings, format=format.value, extractor=own, **places, **run)
        return
    check_apart(output, source, schema, errors)
    check_apart(errors, source, schema)
    from ..data.texts import TextReader  # spaCy takes a second; a wrong argument is told at once
    from ..linking.found import found_in
    from .linked import Graph
    from .output import csv_writer, json_writer, pipe_texts, printer, render_html, table

    nlp = load_pipeline(model, gpu=gpu)
    pipe = active_pipe(nlp, "metaie")
    if settings is not None:
        pipe.schema = settings
    if adapter:
        read_with(pipe, adapter, settings)
    if threshold is not None:
        pipe.threshold = threshold
    with ExitStack() as stack:
        reader = stack.enter_context(TextReader(source, encoding=encoding, text_field=text_field))
        if errors:
            reader.errors = stack.enter_context(writing(errors))
        write = stack.enter_context(printer(None if output is None else Path(output)))
        bar = stack.enter_context(
            tqdm(total=reader.total, unit="text", desc="extract", mininterval=1, disable=reader.total == 1)
        )
        texts = pipe_texts(nlp, reader, bar)
        if format is Format.html:
            write(render_html(texts, pipe.spans_key))
            texts = ()
        write_csv = csv_writer(write) if format is Format.csv else None
        write_row = json_writer(write, pipe) if format is Format.jsonl else None
        graph = Graph()
        for id, doc, row in texts:
            found = found_in(doc, pipe.spans_key)
            if write_row:
                write_row(id, doc, row, found)
            elif write_csv:
                write_csv(id, found.entities)
            elif format is Format.table:
                write(table(doc.text if reader.total == 1 else f"{id}: {doc.text}", found))
            else:
                graph.add(id, found)
        if format is Format.triples:
            for line in graph.csv():
                write(line)
        elif format is Format.jsonld:
            write(graph.jsonld())
    if reader.bad:
        where = f"they are kept in {errors}" if errors else "--errors FILE keeps them"
        sys.stderr.write(f"{reader.bad} bad line(s) left out; {where}.\n")


@app.command()
def evaluate(
    model: str = typer.Argument(..., help="A spaCy pipeline with a metaie component: package or path"),
    data: Path = typer.Argument(..., help="Annotated rows (JSONL), or a .spacy file"),
    labels: str | None = typer.Option(
        None, help="Ask these of every text; without it and --schema, each text's own and absent labels"
    ),
    schema: Path | None = typer.Option(None, help="JSON file with labels, their queries and thresholds"),
    adapter: Path | None = ADAPTER,
    threshold: float | None = typer.Option(None, help="Between 0 and 1"),
    gpu: int = typer.Option(-1, help="Number of the GPU to use; -1: the CPU"),
    limit: int = typer.Option(0, help="Only the first rows; 0: all"),
    only: Path | None = typer.Option(None, help="Only rows whose ids stand in this file, such as distill's dev.jsonl"),
    output: Path | None = typer.Option(None, help="Write all figures here (JSON)"),
    spans_key: str | None = typer.Option(None, help="Span group of a .spacy file; 'ents': its entities"),
) -> None:
    """Score a pipeline on annotated rows: exact-match precision, recall and F."""
    from ..measure.evaluate import evaluate as run

    settings = asked(labels, schema, None)
    check_apart(output, data, only, schema, model)
    nlp = load_pipeline(model, gpu=gpu)
    pipe = active_pipe(nlp, "metaie")
    if settings:
        pipe.schema = settings
    if adapter:
        read_with(pipe, adapter, settings)
    if threshold is not None:
        pipe.threshold = threshold
    closed = pipe.label_data if settings else None
    result = run(nlp, data, labels=closed, limit=limit, only=only, spans_key=spans_key, progress=True)
    if output:
        write_text(output, json.dumps(result, indent=1))
    if not result["spans"]:
        print(
            f"Nothing to measure: none of the {result['texts']} texts has a span to find; {result['found']} were found."
        )
        return
    if len(result["per_label"]) > 1:
        print(label_table(result["per_label"]))
    print(
        f"P {result['p']:.3f}  R {result['r']:.3f}  F {result['f']:.3f}  "
        f"({result['spans']} gold spans, {result['texts']} texts)"
    )
    for setting, scores in result.get("links", {}).items():
        print(
            f"P {scores['p']:.3f}  R {scores['r']:.3f}  F {scores['f']:.3f}  "
            f"({scores['links']} gold links, {setting.replace('_', ' ')})"
        )


@app.command()
def fewshot(
    examples: Path = typer.Argument(
        ..., help="A few annotated rows (JSONL) or a .spacy file; annotate each text completely"
    ),
    output: Path = typer.Argument(..., help="Takes the adapted pipeline; with --adapter a file of some MB"),
    model: str = typer.Option("en_metaie_sm", help="The pipeline to start from: package or path"),
    adapter: bool = typer.Option(
        False, "--adapter", help="Write only what changes of the weights; several adapters stand beside one model"
    ),
    rank: int = typer.Option(ADAPTER_RANK, help="Of an adapter's matrices"),
    labels: str | None = typer.Option(None, help="The label set; without it and --schema, the labels of the examples"),
    schema: Path | None = typer.Option(
        None, help="JSON file with labels and their queries, flat and set_ents; thresholds have no effect"
    ),
    open_labels: bool = typer.Option(
        False, "--open", help="Ask each text only its own and its absent labels, such as questions that name an entity"
    ),
    dev: Path | None = typer.Option(
        None, help="Annotated rows to score on; without it some examples are held out for an estimate"
    ),
    held_out: float = typer.Option(0.2, help="Share of the examples that is held out; 0: no estimate, half the time"),
    steps: int = typer.Option(FewShotSettings.steps, help="Training steps"),
    lr: float = typer.Option(
        FewShotSettings.lr, help=f"Learning rate of the encoder; the head's is {HEAD_SCALE:g} times it"
    ),
    batch_size: int = typer.Option(FewShotSettings.batch_size),
    rehearsal: float = typer.Option(
        FewShotSettings.rehearsal,
        help="Rows of the corpus per example, so that other labels are not forgotten; 0: none",
    ),
    blend: float = typer.Option(
        FewShotSettings.blend,
        help="Share of what was learned that is kept, between the weights before and after; a fresh head keeps all",
    ),
    corpus: Path | None = typer.Option(
        None, help="Annotated rows to rehearse, instead of those that come with this package"
    ),
    seed: int = typer.Option(0),
    spans_key: str | None = typer.Option(None, help="Span group of a .spacy file; 'ents': its entities"),
    gpu: int = typer.Option(-1, help="Number of the GPU to use; -1: the CPU"),
) -> None:
    """Adapt a pipeline to a few annotated texts; prints the scores before and after on texts that it did not see."""
    from ..fewshot import adapt_and_score, make_adapter
    from ..release.assemble import copy_licences

    rank = rank if adapter else 0
    settings = FewShotSettings(
        steps=steps, lr=lr, batch_size=batch_size, rehearsal=rehearsal, blend=blend, rank=rank, seed=seed
    )
    wanted = asked(labels, schema, None)
    if wanted and open_labels:
        raise ValueError("--open asks each text its own labels: give neither --labels nor --schema with it.")
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    if not adapter:
        check_output(output)
    check_apart(output, examples, model, dev, corpus, schema)
    nlp = load_pipeline(model, gpu=gpu)
    closed = wanted["labels"] if wanted else None
    for key in ("flat", "set_ents"):
        if key in (wanted or {}):
            setattr(active_pipe(nlp, "metaie"), key, wanted[key])
    options = {
        "dev": dev,
        "held_out": held_out,
        "settings": settings,
        "open_labels": open_labels,
        "corpus": corpus,
        "data_key": spans_key,
    }
    if adapter:
        result = make_adapter(nlp, examples, output, closed, **options)
    else:
        result = adapt_and_score(nlp, examples, closed, **options)
        with replacing(output) as new:
            nlp.to_disk(new)
            copy_licences(model, new)
    if result["after"] is None:
        print(f"Adapted to {result['examples']} examples; nothing was scored: {result['why']}.")
    else:
        print(before_and_after(result["before"], result["after"]))
    if "calibrated" in result:
        print("Scores of spans were calibrated on these texts.")
    if adapter:
        print(f"The adapter is in {output}: nlp.get_pipe('metaie').add_adapter('NAME', {str(output)!r})")
    else:
        print(f"The pipeline is in {output}: spacy.load({str(output)!r})")


@app.command()
def distill(
    corpus: list[str] = typer.Argument(
        ..., help="Annotation files (JSONL); 'file.jsonl:0.5' sees half of it an epoch, ':2' twice"
    ),
    output: Path = typer.Option(..., help="Takes the weights, the checkpoint and the log; the same call resumes"),
    encoder: str = typer.Option(ENCODER, help="Hugging Face name or directory"),
    architecture: str = typer.Option(DistillSettings.architecture, help="LabelToSpan or CrossEncoder"),
    text_sees_labels: bool | None = typer.Option(None, help="Whether a text's states depend on the labels asked"),
    init_from: str = typer.Option(
        "", help="The model/ directory of an earlier run, to go on from its weights with a new schedule"
    ),
    lang: str = typer.Option("en", help="Language of the tokenizer"),
    epochs: float = typer.Option(DistillSettings.epochs, help="Passes over the corpus"),
    steps: int = typer.Option(0, help="Optimizer steps instead of epochs"),
    batch_size: int = typer.Option(DistillSettings.batch_size),
    lr: float = typer.Option(
        DistillSettings.lr, help=f"Learning rate of the encoder; the head's is {HEAD_SCALE:g} times it"
    ),
    recase: float = typer.Option(0.0, help="Share of the texts that are seen in lower case or in capitals"),
    dev: Path | None = typer.Option(
        None, help="Annotation file to choose by; without it, a share of the corpus is held out"
    ),
    wordings: Path | None = typer.Option(None, help='Other wordings of labels: JSONL, {"label", "wordings"}'),
    reword: float = typer.Option(0.0, help="Share of the labels that are asked in another wording"),
    link_share: float = typer.Option(
        DistillSettings.link_share, help="Share of the steps that train links (rows with links); 0: no head pass"
    ),
    link_layer: int = typer.Option(
        DistillSettings.link_layer, help="Layer that the head pass reads on from; -1: two thirds of them"
    ),
    only_links: bool = typer.Option(
        False, "--only-links", help="Add a head pass to --init-from, and leave its other weights as they are"
    ),
    dev_share: float = typer.Option(DistillSettings.dev_share, help="Share of the texts that is held out"),
    seed: int = typer.Option(0),
    mixed_precision: str = typer.Option("no", help="no, bf16 or fp16"),
) -> None:
    """Train an open-label model on annotation rows (needs the extra 'train')."""
    from ..data.items import blank_tokenizer
    from ..train.distill import distill as run

    logging.basicConfig(level=logging.INFO, format="%(message)s")
    logging.getLogger("accelerate").setLevel(logging.WARNING)
    weights = dict(corpus_weight(entry) for entry in corpus)
    settings = DistillSettings(
        encoder,
        architecture=architecture,
        init_from=init_from,
        text_sees_labels=text_sees_labels,
        epochs=epochs,
        steps=steps,
        batch_size=batch_size,
        lr=lr,
        recase=recase,
        wordings=str(wordings or ""),
        reword=reword,
        link_share=link_share,
        link_layer=link_layer,
        only_links=only_links,
        dev_share=dev_share,
        seed=seed,
        mixed_precision=mixed_precision,
    )
    result = run(weights, output, settings, tokenize=blank_tokenizer(lang), dev=dev)
    print(json.dumps(result))


def main() -> None:
    """Run a command; an error that can be expected is one line on stderr, and the exit code 1."""
    try:
        app()
    except KeyboardInterrupt:
        sys.stderr.write("\nStopped.\n")
        raise SystemExit(130) from None
    except BrokenPipeError:  # whoever reads has seen enough, such as `head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(0) from None
    except ModuleNotFoundError as error:
        fail(lacking(error))
    except (ValueError, ImportError, OSError, RecursionError, MemoryError) as error:
        fail(" ".join(str(error).split()) or type(error).__name__)
