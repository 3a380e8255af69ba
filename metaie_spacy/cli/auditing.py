"""The commands of audits. Arguments and messages only."""

import json
from pathlib import Path
from typing import Any

import typer
import wasabi

from ..data.files import check_apart, write_files
from ..data.inert import for_terminal

app = typer.Typer(
    no_args_is_help=True, help="Audits: who annotated well, whom the model fails, when a score is to be believed"
)
FOLDER = typer.Option(..., help="Takes report.json and report.html")
TEXTS = typer.Option(
    False, "--texts", help="Show texts on the page; without it the report holds ids, labels and figures"
)


@app.command()
def corpus(
    files: list[Path] = typer.Argument(
        ..., help="Annotated rows (JSONL); rows of one text by several teachers are compared"
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
    options = {"reference": reference, "against": against, "model": model, "most": most, "limit": limit}
    report = audit_corpus(files, **options, progress=True)
    shown = {item.row["id"]: item.row["text"] for item in read_sources(files, Ledger())} if texts else None
    _write(output, report, corpus_page(report, shown))
    wasabi.msg.info(f"{report['rows']:,} rows: " + (", ".join(f"{why} {n:,}" for why, n in report["reasons"].items())))
    for one in report["findings"][:10]:
        wasabi.msg.warn(for_terminal(_line(one)))
    wasabi.msg.good(f"{output / 'report.html'}")


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
