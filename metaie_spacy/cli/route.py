"""The commands of the router: fitting it, its curves, a page of examples. Arguments and messages only."""

import json
from pathlib import Path
from typing import Any

import typer
import wasabi

from ..data.files import check_apart, write_text
from ..pipelines import load_pipeline
from ..schema import read_labels

app = typer.Typer(
    no_args_is_help=True, help="The router: small model where it is good enough, large model where it pays"
)
MODEL = typer.Argument(..., help="A spaCy pipeline with a metaie component: package or path")
ROWS = typer.Argument(
    ..., help='JSONL files, each of one label set: {"text", "spans" or "gold", "llm": recorded answers, "llm_name"?}'
)
LABELS = typer.Option(None, help='The label set: "person, city"; without it all labels of a file, or "asked" of a row')
FLAT = typer.Option(True, help="Whether one of overlapping spans of the small model is kept")
NAME = typer.Option("metaie", help="Name of the component")
FITTED = typer.Option(..., help="The folder that 'route fit' wrote")
POLICIES = "cascade, errors, knn, reliable_knn, learned, per_label, random, small, large"


@app.command()
def fit(
    model: str = MODEL,
    rows: list[Path] = ROWS,
    output: Path = typer.Option(..., help='Takes the fitted router, a folder: "fitted" of [components.metaie_router]'),
    labels: str | None = LABELS,
    flat: bool = FLAT,
    name: str = NAME,
    k: int = typer.Option(0, min=0, help="Neighbours that vote; 0: what gives the best curve, cross-fitted"),
    pools: str = typer.Option(
        "errors",
        help="errors: a text is of the model with fewer errors; right: of one that has it all right, or of none",
    ),
    projection: str = typer.Option("plain", help="How neighbours are found: plain, task, expert or both"),
    seed: int = typer.Option(0),
) -> None:
    """Fit a router to rows with gold spans and a large model's answers (needs the extra 'router')."""
    from ..router.fit import by_agreement
    from ..router.fit import fit as run
    from ..router.fitted import write_fitted

    for path in rows:
        check_apart(output, path, model)
    recorded, answered, weights = _answered(model, rows, labels, flat, name)
    gold, free = ([i for i, is_free in enumerate(recorded.free) if is_free == wanted] for wanted in (False, True))
    extra = None
    if free:
        part = answered.take(free)
        extra = part, by_agreement(part, [recorded.others[i] for i in free])
    settings = {"k": k or None, "way": pools, "projection": projection, "seed": seed}
    fitted = run(answered.take(gold), weights, recorded.llm, free=extra, **settings)
    write_fitted(fitted, output)
    of_large = int(fitted.pools.large.sum())
    wasabi.msg.good(
        f"{output}: {len(answered.rows)} rows, {len(fitted.sets)} label sets, {len(fitted.pools.rows)} exemplars "
        f"({of_large} of the large model), {fitted.pools.k} neighbours"
    )


@app.command()
def evaluate(
    model: str = MODEL,
    rows: list[Path] = ROWS,
    fitted: Path = FITTED,
    policies: str = typer.Option(POLICIES, help="What is compared; the first is what others are compared with"),
    labels: str | None = LABELS,
    flat: bool = FLAT,
    name: str = NAME,
    draws: int = typer.Option(1000, help="Of the bootstrap over texts; 0: no intervals"),
    output: Path | None = typer.Option(None, help="Write all figures here (JSON)"),
) -> None:
    """Curves of F by the share of calls, on rows that the router was not fitted to."""
    check_apart(output, *rows, model, fitted)
    result = _judge(model, rows, fitted, policies, labels, flat, name, draws)[-1]
    if output:
        write_text(output, json.dumps(result, indent=1))
    print(table(result))


@app.command()
def report(
    model: str = MODEL,
    rows: list[Path] = ROWS,
    fitted: Path = FITTED,
    output: Path = typer.Option(..., help="Takes the page (HTML); it holds texts"),
    policy: str = typer.Option("learned", help="Whose decisions are shown"),
    share: float = typer.Option(0.5, help="Share of the texts that it asks about; -1: as the policy decides"),
    labels: str | None = LABELS,
    flat: bool = FLAT,
    name: str = NAME,
    examples: int = typer.Option(8, min=0, help="Texts of each kind"),
) -> None:
    """A page with curves, figures, and texts of each route."""
    from ..router.report import page

    check_apart(output, *rows, model, fitted)
    asked = f"{policy}, cascade, random"
    answered, router, found, result = _judge(model, rows, fitted, asked, labels, flat, name, 0)
    ask = {} if share < 0 else {"share": share}
    write_text(output, page(answered, router, found[0], ask, result, examples=examples))
    wasabi.msg.good(f"{output}")


def _answered(model: str, rows: list[Path], labels: str | None, flat: bool, name: str) -> tuple[Any, Any, str]:
    """The rows, both models' answers to them, and the hash of the small one's weights."""
    from ..pipelines import active_pipe
    from ..router.component import weights_of
    from ..router.recorded import Answered, read_recorded, read_small

    recorded = read_recorded(rows, None if labels is None else [*read_labels(labels)])
    nlp = load_pipeline(model)
    pipe = active_pipe(nlp, name)
    pipe.flat = flat
    small, facts = read_small(nlp, recorded.rows, name=name)
    return recorded, Answered(recorded.rows, small, recorded.large, facts), weights_of(pipe)


def _judge(
    model: str, rows: list[Path], folder: Path, policies: str, labels: str | None, flat: bool, name: str, draws: int
) -> tuple[Any, Any, list, dict[str, Any]]:
    from ..router.evaluate import evaluate as run
    from ..router.fitted import read_fitted
    from ..router.policies import MAKERS

    names = list(dict.fromkeys(part.strip() for part in policies.split(",")))
    unknown = [one for one in names if one not in MAKERS]
    if unknown or draws < 0:
        raise ValueError(f"There is no policy '{unknown[0]}', only {POLICIES}." if unknown else "--draws is below 0.")
    router = read_fitted(folder)
    recorded, answered, weights = _answered(model, rows, labels, flat, name)
    if weights != router.weights:
        raise ValueError(f"'{folder}' was fitted to other weights than '{model}' has. Run 'metaie route fit' again.")
    if any(recorded.free):
        raise ValueError("Some rows have no gold spans, so that nothing can be said of them. Give rows that have.")
    if "vote" not in router.held:
        names = [one for one in names if one not in ("knn", "reliable_knn")]
    found = [MAKERS[one]() for one in names]
    if not any(policy.ranks for policy in found):
        raise ValueError("None of these policies ranks texts: give one that does, such as errors.")
    return answered, router, found, run(answered, router, found, draws=draws)


def table(result: dict[str, Any]) -> str:
    """The figures of every policy as text."""
    from wasabi import table as columns

    rows = []
    for name, own in result["policies"].items():
        if "aiq" in own:
            shares = ["never" if share is None else f"{share:.1%}" for share in own["share_for"].values()]
            rows.append((name, f"{own['aiq']:.1%}", f"{own['f_at_half']:.1%}", f"{own['way_to_oracle']:.0%}", *shares))
    header = ("policy", "AIQ", "F at 50 %", "way to oracle", "calls for 90 %", "95 %", "99 %")
    text = columns(rows, header=header, divider=True, aligns=("l", *"r" * 6))
    return f"{text}\n{result['texts']} texts; F small {result['small']:.1%}, large {result['large']:.1%}"
