"""Spans of a text that is still being written, each as soon as no more text can change it."""

import warnings
from typing import Any, Iterable, Iterator, Sequence

import numpy as np
from spacy.language import Language
from spacy.tokens import Doc

from .bands import check_band
from .data.open_text import OpenText
from .decoding import Decoder, decoders_of
from .pipelines import active_pipe
from .rules import tests_of
from .schema import Ask, Label, check_switch, check_threshold, parse_ask
from .spans import Answer, Logits, flatten, open_runs, tidied


def stream(
    nlp: Language,
    chunks: Iterable[str],
    *,
    labels: Any = None,
    threshold: float | None = None,
    flat: bool | None = None,
    adapter: str | None = None,
    name: str = "metaie",
) -> Iterator[dict[str, Any]]:
    """The spans of one text that comes in parts, each as soon as no more text can change it.

    A span is final when the windows that show it are, and what follows it is no part of it (with `flat`, nor of a span
    that overlaps it). All windows but the last are final: that one holds as many paragraphs, lines or sentences as fit,
    and what comes may fit too. So a span comes when about one window of text has followed it (`window` of the model's
    config, in word pieces), or when the text ends. At the end these are the rows of `metaie_spacy.rows(nlp(text))`,
    if it asks no links: these bring spans too.

    Only the component is run. Of the text no more is kept than its open part.

    chunks (Iterable[str]): parts of the text, cut anywhere, also inside a word; joined, they are the text.
    labels: what is asked, in any form that `MetaIE.labels` takes, or `{"labels", "threshold"?, "flat"?}`; None: what
        the component asks. Links and attributes are left out, with a warning: they are asked of a text as a whole.
    threshold, flat, adapter: as in `MetaIE.pipe`. name (str): of the component.
    YIELDS (dict): "start" and "end" (characters of the whole text, end exclusive), "text", "label", "score". What
        becomes final together comes in the text's order.
    RAISES (ValueError): the text cannot be read in parts (another tokenizer than spaCy's own, a `SharedTransformer`, a
        component before this one that changes tokens); a label has a pattern or children, whose answers depend on the
        text as a whole; or no labels are asked.
    """
    reader = StreamReader(nlp, labels=labels, threshold=threshold, flat=flat, adapter=adapter, name=name)

    def found() -> Iterator[dict[str, Any]]:
        for chunk in chunks:
            yield from reader.feed(chunk)
        yield from reader.close()

    return found()


class StreamReader:
    """Takes a text in parts and gives out its spans; `stream` without a loop of its own, for callers that are called.

    Arguments and errors as of `stream`.
    """

    def __init__(
        self,
        nlp: Language,
        *,
        labels: Any = None,
        threshold: float | None = None,
        flat: bool | None = None,
        adapter: str | None = None,
        name: str = "metaie",
    ):
        from .model.open_windows import OpenWindows
        from .model.predict import window_sizes

        self.pipe = active_pipe(nlp, name)
        _check_pipeline(nlp, self.pipe)
        self.text = OpenText(nlp)
        ask = self.pipe._own_ask(adapter) if labels is None else parse_ask(labels)
        if threshold is not None:
            ask = ask._replace(threshold=check_threshold(threshold))
        if flat is not None:
            ask = ask._replace(flat=check_switch(flat, "flat"))
        if adapter is not None:
            ask = ask._replace(adapter=adapter)
        _check_ask(ask, name)
        self.labels = tuple(ask.labels)
        self.flat = self.pipe.flat if ask.flat is None else ask.flat
        self.adapter = self.pipe.adapter if ask.adapter is None else self.pipe.check_adapter(ask.adapter)
        self.tests, self.band = tests_of(self.labels), check_band(self.pipe.band)
        self.pipe.load()
        shim = self.pipe.model.shims[0]
        ranked = len(self.labels) if self.flat else None
        with shim.using(self.adapter):
            least = self.pipe.effective_threshold if ask.threshold is None else ask.threshold
            (self.decoder,) = decoders_of([(least, ranked)], shim.tag_threshold, self.pipe.generality)
        self.windows = OpenWindows(*window_sizes(shim.limits, shim.module.text_room))
        self.edge = _Edge(self.labels)
        self.waiting: list[Answer] = []  # with `flat`, those that a later one may overlap
        self.is_closed = False

    def feed(self, chunk: str) -> list[dict[str, Any]]:
        """The spans that are final with this part of the text.

        RAISES (ValueError): it is no string, or holds half of a surrogate pair, or the text was closed before; nothing
            of it is taken.
        """
        if not isinstance(chunk, str):
            raise ValueError(f"A chunk must be a string, not {type(chunk).__name__}: decode bytes before.")
        try:
            chunk.encode("utf8")
        except UnicodeEncodeError as error:
            raise ValueError(
                f"A chunk holds half of a surrogate pair, {chunk[error.start]!r}, at its character {error.start}. Give "
                "both halves as one character, in one chunk."
            ) from None
        if self.is_closed:
            raise ValueError("The text was closed: make a new StreamReader for another one.")
        return self._read(self.text.add(chunk), is_last=False)

    def close(self) -> list[dict[str, Any]]:
        """The spans that were open: there is no more text."""
        words = [] if self.is_closed else self.text.end()
        was_closed, self.is_closed = self.is_closed, True
        return [] if was_closed else self._read(words, is_last=True)

    def _read(self, words: list[str], *, is_last: bool) -> list[dict[str, Any]]:
        if not words and not is_last:
            return []
        shim = self.pipe.model.shims[0]
        shim.enter_process()
        parts = self.windows.add(words, [len(ids) for ids in shim.pieces(words)], is_last=is_last)
        if not parts and not is_last:
            return []
        known, first = self.text.words, self.text.first
        docs = [Doc(self.pipe.vocab, words=known[part.start - first : part.end - first]) for part in parts]
        with shim.using(self.adapter):
            for scored in self.pipe.score_labels(docs, [self.labels] * len(docs)):
                self.edge.see(scored.text, parts[scored.text], scored)
            answers = self.edge.closed(self.decoder, is_last)  # which labels give way is the adapter's, too
        reached = parts[-1].own_end if parts else self.windows.start
        frontier = reached if self.edge.start is None else self.edge.start
        rows = [self._row(answer) for answer in self._settled(answers, None if is_last else frontier)]
        self.text.forget(min([frontier, self.windows.start, *(answer.start for answer in self.waiting)]))
        return rows

    def _settled(self, answers: list[Answer], frontier: int | None) -> list[Answer]:
        """Those that are final, in order. frontier (int | None): where a later one may begin; None: there is none."""
        first = self.text.first
        found = [moved(answer, first) for answer in tidied(self.text.words, [moved(one, -first) for one in answers])]
        found = [a for a in found if a.label not in self.tests or self.tests[a.label](self.text.slice(a.start, a.end))]
        if self.flat:
            done, self.waiting = apart([*self.waiting, *found], frontier)
            found = flatten(done)
        if self.band is not None:
            found = [answer for answer in found if self.band.keeps(answer)]
        return sorted(found, key=lambda a: (a.start, a.end, a.label))

    def _row(self, answer: Answer) -> dict[str, Any]:
        start, end = self.text.place(answer.start, answer.end)
        text, score = self.text.slice(answer.start, answer.end), round(float(np.float32(answer.score)), 4)
        return {"start": start, "end": end, "text": text, "label": answer.label, "score": score}


def moved(answer: Answer, by: int) -> Answer:
    return answer._replace(start=answer.start + by, end=answer.end + by)


def apart(answers: list[Answer], frontier: int | None) -> tuple[list[Answer], list[Answer]]:
    """Answers whose chain of overlapping ones ends before a token, and the others. frontier (int | None): None: all."""
    if frontier is None:
        return answers, []
    ordered = sorted(answers, key=lambda a: a.start)
    chains: list[list[Answer]] = []
    reached = -1
    for answer in ordered:
        if answer.start >= reached:
            chains.append([])
        chains[-1].append(answer)
        reached = max(reached, answer.end)
    done = [chain for chain in chains if max(answer.end for answer in chain) <= frontier]
    return [a for chain in done for a in chain], [a for chain in chains[len(done) :] for a in chain]


class _Edge:
    """The logits of final windows, as far as a span may still be open there.

    labels (Sequence[Label]): U labels. start (int | None): the token at which the first open span begins; None: none.
    """

    def __init__(self, labels: Sequence[Label]):
        self.labels = labels
        self.start: int | None = None
        self.tokens: list[int] = []
        self._values = np.zeros((0, len(labels), 2), dtype="float32")
        self._at = {label.name: u for u, label in enumerate(labels)}
        self._new: dict[int, tuple[list[int], list[int], np.ndarray]] = {}  # by window: tokens, which count, logits

    def see(self, number: int, part: Any, scored: Logits) -> None:
        """Take what the model says of a window (Window) for some labels. number (int): of the window, in order."""
        if number not in self._new:
            tokens = [part.start + j for j in scored.tokens]
            own = [k for k, token in enumerate(tokens) if part.own_start <= token < part.own_end]
            values = np.empty((len(own), len(self.labels), 2), dtype="float32")
            self._new[number] = [tokens[k] for k in own], own, values
        _, own, values = self._new[number]
        values[:, [self._at[label.name] for label in scored.labels]] = scored.values[own]

    def closed(self, decoder: Decoder, is_last: bool) -> list[Answer]:
        """The spans that end before the last of these tokens, or with it where the text ends."""
        parts = [self._new[number] for number in sorted(self._new)]
        self._new = {}
        tokens = [*self.tokens, *(token for own, _, _ in parts for token in own)]
        values = np.concatenate([self._values, *(logits for _, _, logits in parts)])
        _, tags, _, _ = decoder.settings(self.labels)
        starts = np.full(len(self.labels), len(tokens)) if is_last else open_runs(values, tags)
        first = int(starts.min())
        self.start = tokens[first] if first < len(tokens) else None
        is_open = (np.arange(len(tokens))[:, None] >= starts)[..., None]  # (W, U, 1)
        # A token that counts no more, or not yet, is O.
        self.tokens, self._values = tokens[first:], np.where(is_open[first:], values[first:], np.float32(-np.inf))
        return decoder(Logits(0, self.labels, tokens, np.where(is_open, np.float32(-np.inf), values)))


def _check_pipeline(nlp: Language, pipe: Any) -> None:
    """RAISES (ValueError): what the component reads depends on the text as a whole."""
    if pipe.model.has_ref("tok2vec"):
        raise ValueError(
            f"'{pipe.name}' reads the vectors of a tok2vec, which depend on the text as a whole. Give nlp the whole "
            "text, or stream with a LabelToSpan."
        )
    for name in nlp.pipe_names[: nlp.pipe_names.index(pipe.name)]:
        if nlp.get_pipe_meta(name).retokenizes:
            raise ValueError(
                f"The component '{name}' before '{pipe.name}' changes tokens, and a stream runs '{pipe.name}' alone. "
                "Disable it, or put it behind."
            )


def _check_ask(ask: Ask, name: str) -> None:
    """RAISES (ValueError): nothing is asked, or a label whose answers depend on the text as a whole."""
    if not ask.labels:
        raise ValueError(f"No labels are asked. Give labels=[...], or set those of '{name}'.")
    for label in ask.labels:
        whole = "a pattern" if label.pattern is not None else "a label above it" if label.parent is not None else None
        if whole:
            raise ValueError(
                f"The label '{label.name}' has {whole}, and what that finds depends on the text as a whole, of which a "
                "stream keeps no more than its end. Leave it out, and ask it of the whole text."
            )
    if ask.links is not None and (ask.links.relations or ask.links.attributes):
        warnings.warn(
            f"The links and attributes of '{name}' are left out: a stream gives spans. Ask them of the whole text.",
            stacklevel=4,
        )
