"""The commands that turn weights into a pipeline. Arguments and messages only."""

from pathlib import Path

import typer

from .options import check_output

app = typer.Typer()


@app.command()
def assemble(
    weights: str = typer.Argument(..., help="The model/ directory of a distillation, or a package"),
    output: Path = typer.Argument(..., help="Takes the pipeline; then run: python -m spacy package"),
    lang: str = typer.Option("en", help="Language of the pipeline"),
    name: str = typer.Option("metaie_sm", help="Name of the package, without the language"),
    meta: Path | None = typer.Option(None, help="JSON that is merged into meta.json"),
    include: list[Path] = typer.Option([], help="A file to put into the package, such as NOTICE; may be repeated"),
    save_dtype: str = typer.Option("float16", help="float16 or float32"),
    bits: int = typer.Option(11, help="Significant binary digits of each weight; 9 make a wheel smaller by a tenth"),
) -> None:
    """Write trained weights as a spaCy pipeline."""
    from ..release.assemble import assemble as run

    check_output(output)
    run(weights, output, lang=lang, name=name, meta=meta, include=include, save_dtype=save_dtype, bits=bits)


@app.command()
def licences(
    pipeline: Path = typer.Argument(..., help="A pipeline on disk that has a component of another one"),
    of: str = typer.Option("en_metaie_sm", help="That other one: package or path"),
) -> None:
    """Name what a sourced component was made from in meta.json, and copy the licences, before `spacy package`."""
    from ..model.weights import find_source
    from ..release.sources import keep_sources

    keep_sources(find_source(of), pipeline)


@app.command()
def average(
    weights: list[str] = typer.Argument(..., help="The model/ directories of distillations from one start"),
    output: Path = typer.Option(..., help="Takes the mean of their weights"),
) -> None:
    """Average the weights of several runs that began at the same weights."""
    from ..release.assemble import average as run

    run(weights, output)
