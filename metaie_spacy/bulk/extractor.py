"""One callable for engines that map over batches: Ray Data, Spark, Dask, Daft, Hugging Face datasets, pandas."""

from pathlib import Path
from typing import Any, Iterator, Mapping, NamedTuple, Sequence

from ..data.tokens import make_doc
from ..linking.found import asked_in, found_in
from ..schema import ask_names
from .asked import asked_of_all, asked_of_row, asks_children_of, asks_links_of, asks_nothing
from .loaded import Loaded, loaded
from .tables import Column, is_null, names_of, values_of, with_columns

BATCH = 256  # texts that a pipeline is given at a time
LONGEST_ERROR = 500  # characters


class Answer(NamedTuple):
    """What became of one text. spans, links: as rows; None: there was no text, it failed, or no links were asked.

    asked (list[str] | None): the labels that were asked, where others below them were not.
    """

    spans: list[dict[str, Any]] | None
    links: list[dict[str, Any]] | None
    error: str | None
    asked: list[str] | None = None


NOTHING = Answer(None, None, None)


class Extractor:
    """Adds what is found in a batch's texts to it, as columns. It carries names only, and pickles small.

    The pipeline is built at the first call, once in a process, and shared by all extractors of its name. Called with
    an Arrow table, a pandas frame, a mapping of columns (lists or numpy arrays) or a list of rows, it returns the same
    kind, its columns and the order of its rows unchanged.

    model (str): a spaCy pipeline with a metaie component: package or path, which every machine must have.
    labels: what to look for, as `MetaIE.labels` takes it, or a schema, or the path of one. None: what the pipeline
        asks.
    text (str): the column of the texts. A text that is null has null spans.
    output (str): the new column of spans: "start" and "end" (characters, end exclusive), "text", "label", "score".
    labels_from (str | None): a column with labels for each row: "person, city", a list, or JSON of labels or a schema.
        Where it is empty, `labels` are asked.
    threshold (float | None): the least score of a span, in place of the schema's.
    adapter (str | None): what `fewshot --adapter` wrote. gpu (int): number of the GPU; -1: the CPU.
    RAISES (ValueError): labels that cannot be asked, a threshold that is none. When called: no such pipeline or column,
        or a column that is there already or twice.

    Beside `output` stand a column of errors, null where all went well, and, if links are asked or may be
    (`labels_from`, no labels), one of links; and, if labels with children are or may be, one of the labels that were
    asked of the text, null where all were. They are "error", "links" and "asked", or for another name than "spans"
    "<output>_error" and so on.
    """

    def __init__(
        self,
        model: str = "en_metaie_sm",
        labels: Any = None,
        *,
        text: str = "text",
        output: str = "spans",
        labels_from: str | None = None,
        threshold: float | None = None,
        adapter: str | Path | None = None,
        gpu: int = -1,
    ):
        self.model, self.text, self.output, self.labels_from = model, text, output, labels_from
        self.asked = asked_of_all(labels, threshold)
        is_known = self.asked is not None and not labels_from  # what texts are asked, before any is read
        self.asks_links = not is_known or asks_links_of(self.asked)
        self.asks_children = not is_known or asks_children_of(self.asked)
        self.threshold, self.gpu = threshold, gpu
        self.adapter = None if adapter is None else str(adapter)

    @property
    def columns(self) -> dict[str, str]:
        """The names of the new columns, and the kind of each: "spans", "links", "names" or "text"."""
        start = "" if self.output == "spans" else f"{self.output}_"
        links = {f"{start}links": "links"} if self.asks_links else {}
        asked = {f"{start}asked": "names"} if self.asks_children else {}
        return {self.output: "spans", **links, **asked, f"{start}error": "text"}

    def __call__(self, batch: Any) -> Any:
        """The batch with what was found in its texts.

        RAISES (TypeError): it is no batch. (ValueError): it lacks a column, or has it twice, or one of the new ones
            already.
        """
        names = names_of(batch)
        self.check_names(names, is_empty=isinstance(batch, (list, tuple)) and not batch)
        texts = values_of(batch, self.text) if names else []
        own = values_of(batch, self.labels_from) if self.labels_from in names else [None] * len(texts)
        return with_columns(batch, self.columns_of(list(self.answers(texts, own))))

    def columns_of(self, answers: list[Answer]) -> list[Column]:
        """Answers as the new columns."""
        parts = {"spans": "spans", "links": "links", "names": "asked", "text": "error"}
        return [
            Column(name, [getattr(answer, parts[kind]) for answer in answers], kind)
            for name, kind in self.columns.items()
        ]

    def check_names(self, names: list[str], *, is_empty: bool = False) -> None:
        """RAISES (ValueError): of the columns of a batch one is missing, is there twice, or stands where a new one
        would."""
        for column in filter(None, (self.text, self.labels_from)):
            if column not in names and not is_empty:
                raise ValueError(
                    f"The batch has no column '{column}', only {names[:20]}. Name it, by text or labels_from."
                )
            if names.count(column) > 1:
                raise ValueError(
                    f"The batch has {names.count(column)} columns '{column}', and nothing says which one is meant. "
                    "Give each a name of its own."
                )
        taken = [name for name in self.columns if name in names]
        if taken:
            raise ValueError(
                f"The batch has a column '{taken[0]}' already, which would be lost. Give another name for the new "
                "ones, such as output='found'."
            )

    def answers(self, texts: list[Any], own: list[Any]) -> Iterator[Answer]:
        """What is found in each text, in order; own (list): what each row asks itself, or None."""
        if not texts:
            return
        ready = loaded(self.model, adapter=self.adapter, gpu=self.gpu)
        for start in range(0, len(texts), BATCH):
            yield from self._answered(ready, texts[start : start + BATCH], own[start : start + BATCH])

    def _answered(self, ready: Loaded, texts: list[Any], own: list[Any]) -> list[Answer]:
        with ready.lock, ready.nlp.memory_zone():
            results: list[Answer] = [NOTHING] * len(texts)
            docs, asks = [], {}
            for i, text in enumerate(texts):
                if is_null(text):
                    continue
                try:
                    asks[i] = self._ask_of(own[i], ready)
                    docs.append((self._doc(ready, text, asks[i]), i))
                except Exception as error:  # the text's, whatever it is
                    results[i] = _failed(error)
            # Once for all texts that are asked the same: thousands of labels take long to be read.
            named = {id(ask): ready.pipe.labels if ask is None else ask_names(ask) for ask in asks.values()}
            names = {i: named[id(ask)] for i, ask in asks.items()}
            for i, answer in self._found(ready, docs, names):
                results[i] = answer
            # A component may fail a whole batch for one text; alone, each says what is wrong with it.
            for i in [i for _, i in docs if results[i] is NOTHING]:
                results[i] = self._alone(ready, texts[i], asks[i], names[i])
            return results

    def _ask_of(self, own: Any, ready: Loaded) -> Any:
        """What a text is asked; None: as the pipeline says.

        RAISES (ValueError): nothing is, so that no spans would look like "not found".
        """
        ask = asked_of_row(own, self.threshold)
        ask = self.asked if ask is None else ask
        if ask is None and ready.pipe.labels:
            return None if self.threshold is None else asked_of_all(ready.pipe.schema, self.threshold)
        if asks_nothing(ask):
            raise ValueError("no labels are asked of this text. Give labels, or a column of them by labels_from.")
        return ask

    def _doc(self, ready: Loaded, text: Any, ask: Any) -> Any:
        """RAISES (ValueError): it is no text, or too long."""
        if isinstance(text, bytes):
            text = text.decode("utf8")
        if not isinstance(text, str):
            raise ValueError(f"the text is of the type {type(text).__name__}, not a string.")
        if len(text) > ready.nlp.max_length:
            raise ValueError(f"{len(text)} characters, more than nlp.max_length = {ready.nlp.max_length}.")
        doc = make_doc(ready.nlp, str(text))
        if ask is not None:
            doc.user_data["metaie_labels", ready.pipe.name] = ask
        return doc

    def _found(
        self, ready: Loaded, docs: list[tuple[Any, int]], names: Mapping[int, Sequence[str]]
    ) -> Iterator[tuple[int, Answer]]:
        """The answers of those that go well. names (Mapping): of the labels that each is asked."""
        with _handler(ready.nlp, lambda *failed: None):
            for doc, i in ready.nlp.pipe(docs, as_tuples=True, batch_size=BATCH):
                yield i, _answer(doc, ready, names[i])

    def _alone(self, ready: Loaded, text: Any, ask: Any, names: Sequence[str]) -> Answer:
        try:
            with _handler(ready.nlp, _raise):
                return _answer(ready.nlp(self._doc(ready, text, ask)), ready, names)
        except Exception as error:
            return _failed(error)


class _handler:
    """The error handler of a pipeline for a while."""

    def __init__(self, nlp: Any, handler: Any):
        self.nlp, self.handler = nlp, handler

    def __enter__(self) -> None:
        self.before = self.nlp.default_error_handler
        self.own = {name: pipe.get_error_handler() for name, pipe in self._pipes()}
        self.nlp.set_error_handler(self.handler)

    def __exit__(self, *error: Any) -> None:
        self.nlp.default_error_handler = self.before
        for name, pipe in self._pipes():
            pipe.set_error_handler(self.own[name])

    def _pipes(self) -> list[tuple[str, Any]]:
        return [(name, pipe) for name, pipe in self.nlp.pipeline if hasattr(pipe, "set_error_handler")]


def _raise(name: str, pipe: Any, docs: list[Any], error: Exception) -> None:
    raise error


def _answer(doc: Any, ready: Loaded, names: Sequence[str]) -> Answer:
    key = ready.pipe.spans_key
    found = found_in(doc, key)
    return Answer(found.spans, found.links, None, asked_in(doc, key, names))


def _failed(error: Exception) -> Answer:
    words = " ".join(str(error).split())
    return Answer(None, None, f"{type(error).__name__}: {words}"[:LONGEST_ERROR])
