"""`extract` of files into a folder of shards. Arguments and messages only."""

import glob
import json
from enum import Enum
from pathlib import Path
from typing import Any

import typer
import wasabi

from ..data.files import check_apart

PACKED = (".gz", ".zst")

WORKERS = typer.Option(
    None, help="Processes, for files into a folder, or actors of Ray; without it one for each core, or one for a GPU"
)
ENGINE = typer.Option("local", help="local, or ray: actors of a Ray cluster, for files into a folder")
ADDRESS = typer.Option(None, help="Of the Ray cluster; without it that of RAY_ADDRESS, or a new one on this machine")
SHARD_ROWS = typer.Option(5000, help="Rows of a shard, which is what a kill costs each worker at most")
LABELS_FROM = typer.Option(
    None, help='Column with the labels of each row: "person, city", a list, or JSON of labels or of a schema'
)
SPANS_FIELD = typer.Option("spans", help="Field or column that takes the spans, of files into a folder")


class Engine(str, Enum):
    local = "local"
    ray = "ray"


def is_into_folder(source: str | None, output: str | None, *options: Any) -> bool:
    """Whether files become shards in a folder: the output is one, or nothing else makes sense.

    options: those that only this has; None or the default: not given.
    """
    if any(options):
        return True
    if output is not None and ("://" in output or output.endswith("/") or Path(output).is_dir()):
        return True
    return output is not None and source is not None and _is_many(source)


def extract_into_folder(
    source: str | None,
    output: str | None,
    settings: dict | None,
    *,
    format: str,
    schema: Path | None,
    errors: Path | None,
    engine: Engine,
    extractor: dict[str, Any],
    **options: Any,
) -> None:
    """Run, and say what came of it.

    settings (dict | None): the schema asked for. format (str): of `extract`; "table" is what the source is in.
    RAISES (ValueError): options that do not go together.
    """
    if output is None or source in (None, "-"):
        raise ValueError(
            "Shards need files and a folder: give SOURCE, such as 'texts/*.jsonl.gz', and --output FOLDER/."
        )
    if format == "table":
        format = "parquet" if source.endswith(".parquet") else "jsonl"
    if format not in ("jsonl", "parquet"):
        raise ValueError(f"A folder takes --format jsonl or parquet, not {format}.")
    if errors is not None:
        raise ValueError("--errors is for a file as output. In a folder a bad line is a row whose error tells why.")
    if "://" not in output:
        check_apart(output, source, schema, *glob.glob(source, recursive=True))
    from ..bulk import Extractor, extract_files

    asked = None if settings is None else {key: value for key, value in settings.items() if key != "set_ents"}
    summary = extract_files(
        source, output, Extractor(labels=asked, **extractor), format=format, engine=engine.value, **options
    )
    wasabi.msg.info(json.dumps(summary))
    if summary["errors"]:
        wasabi.msg.warn(f"{summary['errors']} rows have no spans: their error tells why.")
    wasabi.msg.good(f"{summary['rows']} rows in {summary['shards']} shards in {output}")


def _is_many(source: str) -> bool:
    """Whether a source is none that a single output is written from: a pattern, an address, or a packed file."""
    has_files = glob.has_magic(source) and not Path(source).exists() and bool(glob.glob(source, recursive=True))
    is_file = source.endswith(PACKED) and Path(source).is_file()
    return has_files or is_file or ("://" in source and not any(map(str.isspace, source)))
