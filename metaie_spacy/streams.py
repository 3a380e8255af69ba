"""Streams of texts that bring labels of their own."""

from typing import Any, Iterable, Iterator

from spacy.language import Language
from spacy.tokens import Doc

from .data.tokens import make_doc
from .pipelines import active_pipe
from .schema import parse_ask, plain_ask


def pipe_with_labels(nlp: Language, pairs: Iterable[tuple], *, name: str = "metaie", **pipe_kwargs) -> Iterator[Any]:
    """Run a pipeline over texts that bring labels of their own; texts are batched across label sets.

    pairs (Iterable): text or Doc, and its labels in any form that `MetaIE.labels` takes, or `{"labels", "threshold"?,
        "flat"?}` to keep its answers in a way of its own; with `as_tuples=True` a third value, which comes back beside
        the doc.
    name (str): the component that is to use the labels. Where several do, `doc._.metaie_labels`
        gives labels to all of them.
    pipe_kwargs: passed to `nlp.pipe`.
    YIELDS (Doc): in order. A pair that is refused, for its labels or its text, goes to the
        component's error handler, which raises unless it was set to something else.
    RAISES (ValueError): the pipeline has no such component.
    """
    as_tuples, pipe = pipe_kwargs.get("as_tuples", False), active_pipe(nlp, name)

    def docs() -> Iterator[Any]:
        for number, pair in enumerate(pairs):
            doc = text = None
            try:
                text, labels, *context = _unpack(pair, 3 if as_tuples else 2)
                doc = text if isinstance(text, Doc) else make_doc(nlp, text)
                doc.user_data["metaie_labels", pipe.name] = plain_ask(parse_ask(labels))
            except (ValueError, UnicodeError) as error:
                failed = doc if doc is not None else Doc(nlp.vocab)
                pipe.get_error_handler()(name, pipe, [failed], ValueError(f"pair {number}: {error}"))
                continue
            yield (doc, *context) if as_tuples else doc

    return nlp.pipe(docs(), **pipe_kwargs)


def _unpack(pair: Any, size: int) -> tuple:
    """RAISES (ValueError): not a text with its labels (and, for `as_tuples`, a context)."""
    if isinstance(pair, (str, Doc)) or not isinstance(pair, (tuple, list)) or len(pair) != size:
        expected = "(text, labels, context)" if size == 3 else "(text, labels)"
        raise ValueError(f"expected {expected}, not {type(pair).__name__}.")
    if not isinstance(pair[0], (str, Doc)):
        raise ValueError(f"the text must be a string or a Doc, not {type(pair[0]).__name__}.")
    return tuple(pair)
