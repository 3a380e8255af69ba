"""The pipelines that a server reads with, their adapters, and schemas by name."""

from pathlib import Path
from typing import Any, Iterable, Mapping, Sequence

from spacy.language import Language

from ..data.shipped import shipped
from ..linking.found import found_in
from ..linking.records import records
from ..pipelines import load_pipeline, metaie_of
from ..schema import read_schema
from ..streams import pipe_with_labels
from .parts import Found


def named(entries: Iterable[str], what: str) -> dict[str, str]:
    """Sources by name, of entries "name=source" or of sources that give their name.

    RAISES (ValueError): two have one name, or one is empty.
    """
    found: dict[str, str] = {}
    for entry in entries:
        name, equals, source = entry.partition("=")
        name, source = (name, source) if equals else (Path(entry).stem if "/" in entry else entry, entry)
        if not name or not source:
            raise ValueError(f"--{what} {entry!r} lacks a name or a source. Write --{what} NAME=SOURCE.")
        if name in found:
            raise ValueError(f"--{what} gives the name {name!r} twice. Write --{what} OTHER_NAME={source}.")
        found[name] = source
    return found


def load_schemas(sources: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    """Schemas by name, checked; what a service has no use for, "set_ents", is left away. RAISES: as `read_schema`."""
    read = {name: read_schema(shipped(source)) for name, source in sources.items()}
    return {name: {key: value for key, value in one.items() if key != "set_ents"} for name, one in read.items()}


class Served:
    """A pipeline with a metaie component that reads for many requests, from one thread at a time.

    nlp (Language): with the component, whose error handler is replaced.
    """

    def __init__(self, nlp: Language):
        self.nlp, self.pipe = nlp, metaie_of(nlp)
        self._failed: dict[int, Exception] = {}
        nlp.set_error_handler(self._keep)

    def _keep(self, name: str, pipe: Any, docs: Sequence[Any], error: Exception) -> None:
        for doc in docs:
            self._failed[doc._context] = error

    def read(self, pairs: Sequence[tuple[str, dict[str, Any]]]) -> list[Found | Exception]:
        """What was found in each text, or what came instead; a text that fails costs no other.

        pairs (Sequence[tuple[str, dict]]): texts, and what they are asked as `pipe_with_labels` takes it.
        """
        self._failed.clear()
        triples = [(text, ask, number) for number, (text, ask) in enumerate(pairs)]
        found: dict[int, Found] = {}
        try:
            with self.nlp.memory_zone():  # frees the batch's words: no doc leaves it
                stream = pipe_with_labels(self.nlp, triples, name=self.pipe.name, as_tuples=True)
                found = {number: _plain(doc, self.pipe.spans_key) for doc, number in stream}
        except Exception as error:  # of whatever components the pipeline has
            if len(pairs) == 1:
                return [error]
            middle = len(pairs) // 2
            return [*self.read(pairs[:middle]), *self.read(pairs[middle:])]
        lost = RuntimeError("the pipeline gave no answer")
        return [found.get(number) or self._failed.get(number, lost) for number in range(len(pairs))]

    def warm_up(self) -> None:
        """Load the weights, and what is imported on first use."""
        self.read([("Ada Lovelace.", {"labels": ["person"], "threshold": None, "flat": None})])

    @property
    def own_schema(self) -> dict[str, Any] | None:
        """What texts are asked that bring nothing; None: the pipeline has no labels."""
        schema = {key: value for key, value in self.pipe.schema.items() if key != "set_ents"}
        return schema if schema["labels"] else None


def _plain(doc: Any, key: str) -> Found:
    found = found_in(doc, key)
    own = [] if found.links is None else records(doc, key)
    return Found(found.spans, found.links, own, doc.spans[key].attrs.get("asked"))


def load_models(models: Mapping[str, str], adapters: Mapping[str, str], *, gpu: int = -1) -> dict[str, Served]:
    """The pipelines by name, ready to read; every adapter goes to those whose weights it belongs to.

    RAISES (ValueError): one cannot be loaded, or an adapter fits none.
    """
    served = {name: Served(load_pipeline(source, gpu=gpu)) for name, source in models.items()}
    for name, source in adapters.items():
        errors = []
        for one in served.values():
            try:
                one.pipe.add_adapter(name, source)
            except ValueError as error:
                errors.append(error)
        if len(errors) == len(served):
            raise errors[0]
    for one in served.values():
        one.warm_up()
    return served
