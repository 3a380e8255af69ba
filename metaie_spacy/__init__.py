"""Structured information out of text inside spaCy: `nlp.add_pipe("metaie")`."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .component import MetaIE
    from .linking.records import records
    from .linking.results import Link, links
    from .results import rows, to_dataframe
    from .schema import read_schema
    from .streaming import StreamReader, stream
    from .streams import pipe_with_labels

__version__ = "0.1.0"

__all__ = [
    "Link",
    "MetaIE",
    "StreamReader",
    "__version__",
    "links",
    "pipe_with_labels",
    "read_schema",
    "records",
    "rows",
    "stream",
    "to_dataframe",
]

HOMES = {
    "Link": "linking.results",
    "links": "linking.results",
    "MetaIE": "component",
    "pipe_with_labels": "streams",
    "read_schema": "schema",
    "records": "linking.records",
    "rows": "results",
    "stream": "streaming",
    "StreamReader": "streaming",
    "to_dataframe": "results",
}


def __getattr__(name: str) -> Any:
    # Lazy: distillation runs on machines without spaCy, and spaCy starts without torch.
    if name in HOMES:
        return getattr(import_module(f"{__name__}.{HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *HOMES})
