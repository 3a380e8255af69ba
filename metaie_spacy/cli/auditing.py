"""The commands of audits. Arguments and messages only."""

import json
from pathlib import Path
from typing import Any

import typer
import wasabi

from ..curate.names import PERSON
from ..data.files import check_apart, replacing, write_files, write_text
from ..data.inert import for_terminal
from ..data.shipped import shipped
from ..pipelines import load_pipeline
from .options import check_output, fail

app = typer.Typer(
    no_args_is_help=True, help="Audits: who annotated well, whom the model fails, when a score is to be believed"
)
FOLDER = typer.Option(..., help="Takes report.json and report.html")
GPU = typer.Option(-1, help="Number of the GPU to use; -1: the CPU")
TEXTS = typer.Option(
    False, "--texts", help="Show texts on the page; without it the report holds ids, labels and figures"
)


@app.command()
def corpus(
    files: list[Path] = typer.Argument(
        ...,
        help="Annotated rows (JSONL), a folder stands for its files; rows of one text by several teachers are compared",
    ),
    output: Path = FOLDER,
    reference: list[Path] = typer.Option([], help="Rows that show what shares should be like; may be repeated"),
    against: list[Path] = typer.Option(
        [], help="Texts that must not be in the corpus, such as test files; may be repeated"
    ),
    model: str | None = typer.Option(
        None,
        help="A pipeline that was not trained on these rows: its losses tell labels that do not explain their spans",
    ),
    most: int = typer.Option(200, help="Rows for review"),
    limit: int = typer.Option(0, help="Only the first rows of each file; 0: all"),
    texts: bool = TEXTS,
) -> None:
    """What a corpus holds, how far its teachers agree, and which rows are suspicious (needs the extra 'audit')."""
    from ..audit.corpus import audit_corpus
    from ..audit.corpus_page import corpus_page
    from ..curate.sources import read_sources
    from ..data.ledger import Ledger

    check_apart(output, *files, *reference, *against, model)
    files = [file for path in files for file in (sorted(path.glob("*.jsonl")) if path.is_dir() else [path])]
    options = {"reference": reference, "against": against, "model": model, "most": most, "limit": limit}
    report = audit_corpus(files, **options, progress=True)
    shown = {item.row["id"]: item.row["text"] for item in read_sources(files, Ledger())} if texts else None
    _write(output, report, corpus_page(report, shown))
    wasabi.msg.info(f"{report['rows']:,} rows: " + (", ".join(f"{why} {n:,}" for why, n in report["reasons"].items())))
    for one in report["findings"][:10]:
        wasabi.msg.warn(for_terminal(_line(one)))
    wasabi.msg.good(f"{output / 'report.html'}")


@app.command()
def model(
    name: str = typer.Argument(..., help="A spaCy pipeline with a metaie component: package or path"),
    files: list[Path] = typer.Argument(..., help="Annotated rows (JSONL) or .spacy files that it was not trained on"),
    output: Path = FOLDER,
    wordings: Path | None = typer.Option(None, help='Other wordings of labels: JSONL, {"label", "wordings"}'),
    name_labels: str = typer.Option(", ".join(PERSON), help="Labels whose spans are names of people"),
    probes: int = typer.Option(
        100, help="Rows whose names are swapped, for 12 origins and two genders, and that are asked in other ways"
    ),
    limit: int = typer.Option(0, help="Rows of each file, drawn by --seed; 0: all"),
    seed: int = typer.Option(0),
    gpu: int = GPU,
) -> None:
    """Whom a model fails: slices, swapped names, other wordings, distractors, scores (needs the extra 'audit')."""
    from ..audit.model import audit_model
    from ..audit.model_page import model_page

    check_apart(output, *files, wordings, name)
    named = [label.strip() for label in name_labels.split(",") if label.strip()]
    options = {"wordings": wordings, "name_labels": named, "probes": probes, "limit": limit, "seed": seed}
    report = audit_model(load_pipeline(name, gpu=gpu), files, **options, progress=True)
    _write(output, report, model_page(report, name))
    wasabi.msg.info(f"{report['rows']:,} rows, F {report['f']:.3f} ({report['f_low']:.3f} to {report['f_high']:.3f})")
    for one in [finding for finding in report["findings"] if finding["gap"] < 0][:10]:
        wasabi.msg.warn(
            for_terminal(f"{one['what']}, {one['of']}: {one['gap']:+.3f} ({one['low']:+.3f} to {one['high']:+.3f})")
        )
    wasabi.msg.good(f"{output / 'report.html'}")


@app.command()
def annotators(
    people: list[Path] = typer.Argument(..., help="Rows of the same texts by three people or more, a file each"),
    llm: Path = typer.Option(..., help="Rows of these texts by the model that is to stand in for them"),
    epsilon: float = typer.Option(
        0.2, min=0, max=1, help="What people's time is worth: 0.2 for experts, 0.15 for skilled people, 0.1 for a crowd"
    ),
    draws: int = typer.Option(400, min=0, help="Of each cell of the power table; 0: no table"),
    output: Path | None = typer.Option(None, help="Write all figures here (JSON)"),
) -> None:
    """May a model stand in for people? The alternative annotator test on spans (needs the extra 'audit')."""
    from ..audit.annotators import advantages, power_table, read_answers, verdict

    check_apart(output, *people, llm)
    names, rows = read_answers(people, llm)
    found = advantages(rows)
    result = verdict(names[:-1], found, epsilon=epsilon)
    result["power"] = power_table(found, epsilon=epsilon, draws=draws) if draws else []
    if output:
        write_text(output, json.dumps(result, indent=1) + "\n")
    header = ("person", "texts", "model as good", "person as good", "p, corrected", "beaten")
    table = [
        (for_terminal(one["name"]), one["texts"], *(_rate(one.get(key)) for key in ("model", "person", "p_corrected")))
        + ("yes" if one["is_beaten"] else "no",)
        for one in result["people"]
    ]
    print(wasabi.table(table, header=header, divider=True, aligns=("l", *"r" * 5)))
    print(f"Winning rate {result['winning_rate']:.2f}, average advantage {result['advantage']:.2f}, epsilon {epsilon}.")
    print(f"{names[-1]} {'may' if result['passes'] else 'may not'} stand in for these people.")
    if result["few_texts"]:
        wasabi.msg.warn("Someone has fewer than 30 texts: the t-test is not to be relied on. Give 50 to 100.")
    if draws:
        sizes = sorted({one["texts"] for one in result["power"]})
        lines: dict[float, list[str]] = {}
        for one in result["power"]:
            lines.setdefault(one["advantage"], []).append(f"{one['passes']:.2f}")
        print("How often it would pass, by what the model is better by and the number of texts:")
        print(wasabi.table([(f"{by:+.2f}", *own) for by, own in lines.items()], header=("advantage", *map(str, sizes))))


def _rate(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"


@app.command()
def selective(
    name: str = typer.Argument(..., help="A spaCy pipeline with a metaie component: package or path"),
    files: list[Path] = typer.Argument(..., help="Annotated rows (JSONL) that it was not trained on"),
    output: Path | None = typer.Option(
        None, help="Takes the pipeline with its band; without it the band is only shown"
    ),
    precision: float = typer.Option(0.9, help="Share of the accepted spans that must be right"),
    confidence: float = typer.Option(0.95, help="Of that promise"),
    foreign: list[Path] = typer.Option([], help="Rows of other domains, to show what the band is worth there"),
    limit: int = typer.Option(0, help="Rows of each file, drawn by --seed; 0: all"),
    report: Path | None = typer.Option(None, help="Takes report.json and report.html, a folder"),
    seed: int = typer.Option(0, help="Which half of the documents is fitted on"),
    gpu: int = GPU,
) -> None:
    """From which score on to accept, ask or drop: fit on half of the documents, shown on the other (extra 'audit')."""
    from ..audit.selective import audit_scores, selective_page
    from ..pipelines import active_pipe
    from ..release.assemble import copy_licences

    if output:
        check_output(output)
    check_apart(output, *files, *foreign, name, report)
    check_apart(report, *files, *foreign, name)
    nlp = load_pipeline(name, gpu=gpu)
    options = {"precision": precision, "confidence": confidence, "foreign": foreign, "limit": limit, "seed": seed}
    result = audit_scores(nlp, files, **options, progress=True)
    if report:
        _write(report, result, selective_page(result, name))
    for part in result["shown"]:
        told = "nothing accepted" if part["precision"] is None else f"precision {part['precision']:.3f}"
        held = {True: "held", False: "MISSED", None: ""}[part["is_held"]]
        shares = f"accept {part['accept']:.0%}, ask {part['ask']:.0%}, drop {part['drop']:.0%}"
        print(for_terminal(f"{part['on']}: {told} (wanted {precision}) {held}; of {part['spans']} spans {shares}"))
    if output:
        active_pipe(nlp, "metaie").band = result["band"]
        with replacing(output) as new:
            nlp.to_disk(new)
            copy_licences(name, new)
        wasabi.msg.good(f"{output}: doc._.metaie_unsure has the spans to ask a person about")


@app.command()
def compare(
    old: Path = typer.Argument(..., help="report.json of 'audit model', of the model before"),
    new: Path = typer.Argument(..., help="The same of the new one, on the same rows"),
    thresholds: Path = typer.Option(Path("configs/audit.toml"), help="What must hold (TOML)"),
) -> None:
    """Two audits of models side by side; exit code 1 where a threshold is broken."""
    from ..audit.compare import compare_reports, read_report, read_thresholds

    rules = read_thresholds(shipped(thresholds))
    found = compare_reports(read_report(old), read_report(new), rules)
    rows = [
        (
            for_terminal(one["what"]),
            *(_rate(one[key]) for key in ("old", "new", "bound")),
            "" if one["holds"] else "BROKEN",
        )
        for one in found
    ]
    print(
        wasabi.table(rows, header=("what", "old", "new", "bound", ""), divider=True, aligns=("l", "r", "r", "r", "l"))
    )
    broken = [one["what"] for one in found if not one["holds"]]
    if broken:
        fail(f"{len(broken)} of {len(found)} thresholds of '{thresholds}' are broken: {', '.join(broken)}.")


def _write(output: Path, report: dict[str, Any], page: str) -> None:
    content = json.dumps(report, ensure_ascii=False, indent=1) + "\n"
    write_files(output, {"report.json": content, "report.html": page})


def _line(one: dict[str, Any]) -> str:
    """A finding of a corpus in words."""
    if one["what"] == "leak":
        return f"leak: row {one['row']} of {one['file']} has words of {one['of']}"
    if one["what"] == "teacher":
        return (
            f"teacher {one['teacher']}: error {one['error']:.2f}, others {one['others']:.2f}, on {one['texts']} texts"
        )
    if one["what"] == "representation":
        shares = f"has a share of {one['share']:.1%}, in the reference {one['reference']:.1%}"
        return f"{one['trait']}: '{one['value']}' {shares}"
    return (
        f"label '{one['label']}' at {one['origin']} names: {one['share']:.1%} of {one['n']}, at other names "
        f"{one['others']:.1%} of {one['n_others']}"
    )
