"""Labels that a doc brings along: where they are kept, and the stream that gives them to docs."""

from typing import Any

from spacy.tokens import Doc, Span

from .results import score_of

if not Span.has_extension("metaie_score"):
    Span.set_extension("metaie_score", getter=score_of)
if not Doc.has_extension("metaie_labels"):
    Doc.set_extension("metaie_labels", default=None)


def doc_labels(doc: Doc, name: str) -> Any:
    """The labels that a doc brings for the component `name`, in any form that `MetaIE.labels` takes; None: none."""
    own = doc.user_data.get(("metaie_labels", name))  # as a plain entry it travels to workers and into DocBin
    return doc._.metaie_labels if own is None else own


def forget_labels(doc: Doc, name: str) -> None:
    """Drop what `pipe_with_labels` gave a doc; `attrs["asked"]` keeps the record."""
    doc.user_data.pop(("metaie_labels", name), None)
