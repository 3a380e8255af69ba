"""The spaCy component: labels in, labelled spans out. Imports neither torch nor transformers."""

import json
import warnings
from contextlib import suppress
from pathlib import Path
from typing import Any, Callable, Iterable, Iterator, Mapping, Sequence

import numpy as np
from spacy import util
from spacy.language import Language
from spacy.pipeline.trainable_pipe import TrainablePipe
from spacy.tokens import Doc, Span
from spacy.training import Example
from spacy.vocab import Vocab
from thinc.api import Config, Model

from .adapting import HasAdapters, adapter_files
from .answering import answers_of, asked_names
from .bands import Band, check_band, mark, plain_band
from .data.jsonl import parse_json
from .decoding import decoders_of
from .doc_labels import doc_labels, forget_labels
from .linking.asking import AsksLinks, asks_heads, check_config_links
from .linking.follow import Followed
from .linking.results import write_links
from .linking.weak import weak_answers
from .model.damage import map_file, read_file, reading
from .model.defaults import DROPOUT, ENCODER, LABEL_BUDGET, LABEL_CACHE, OVERLAP, TOKEN_BUDGET, WINDOW
from .model.message import read_message
from .notes import Note, leave_note
from .pipelines import span_keys
from .rules import kept_answers, rule_answers
from .schema import (
    KEEP,
    LINK_KEYS,
    Ask,
    Label,
    check_config_labels,
    check_set_ents,
    check_switch,
    check_threshold,
    generality,
    move_threshold,
    parse_ask,
    parse_labels,
    plain,
    read_schema,
)
from .spans import Answer, Logits, blocked_tokens, by_label, flatten, write_ents, write_group
from .training import Trains

DEFAULT_CONFIG_TEXT = f"""
[metaie]
labels = []
threshold = null
flat = false
set_ents = false
links = {{}}
attributes = {{}}
records = {{}}
link_threshold = null
spans_key = "metaie"
weights = "en_metaie_sm"
scorer = {{"@scorers":"metaie-spacy.scorer.v1"}}

[metaie.model]
@architectures = "metaie-spacy.LabelToSpan.v1"
name = "{ENCODER}"
text_sees_labels = null
dropout = {DROPOUT}
window = {WINDOW}
overlap = {OVERLAP}
token_budget = {TOKEN_BUDGET}
label_budget = {LABEL_BUDGET}
label_cache = {LABEL_CACHE}
save_dtype = "float32"
compute_dtype = "auto"
"""
MOST_SCHEMA = 8 * 2**20  # bytes of schema.json
DEFAULT_CONFIG = Config().from_str(DEFAULT_CONFIG_TEXT)["metaie"]


@Language.factory(
    "metaie",
    assigns=["doc.spans"],
    default_config=DEFAULT_CONFIG,
    default_score_weights={"spans_metaie_f": 1.0, "spans_metaie_p": 0.0, "spans_metaie_r": 0.0},
)
def make_metaie(
    nlp: Language,
    name: str,
    model: Model,
    labels: list[str | dict[str, Any]] | dict[str, Any],
    threshold: float | None,
    flat: bool,
    set_ents: bool | str,
    links: dict[str, Any],
    attributes: dict[str, Any],
    records: dict[str, Any],
    link_threshold: float | None,
    spans_key: str,
    weights: str | None,
    scorer: Callable | None,
) -> "MetaIE":
    if labels:
        check_config_labels(labels)
    check_config_links({"links": links, "attributes": attributes, "records": records})
    if spans_key in span_keys(nlp):
        warnings.warn(
            f"'{name}' writes doc.spans['{spans_key}'], as another component of this pipeline does: the later one "
            "replaces what the earlier one found. Give one of them a spans_key of its own.",
            stacklevel=2,
        )
    if weights:
        _note_sources(nlp, weights)
    return MetaIE(
        nlp.vocab,
        model,
        name,
        labels=labels,
        threshold=threshold,
        flat=flat,
        set_ents=set_ents,
        links=links,
        attributes=attributes,
        records=records,
        link_threshold=link_threshold,
        spans_key=spans_key,
        weights=weights,
        scorer=scorer,
    )


def _note_sources(nlp: Language, weights: str) -> None:
    """Name in the pipeline's meta what its weights were made from; weights that are missing are told on first use."""
    from .model.weights import find_source
    from .release.sources import add_sources

    with suppress(ValueError, OSError):
        add_sources(nlp.meta, find_source(weights))


class MetaIE(AsksLinks, HasAdapters, Trains, TrainablePipe):
    """Finds the spans of a text that answer labels chosen at run time (MetaIE, arXiv 2404.00457).

    vocab (Vocab): the shared vocabulary.
    model (Model): one of the architectures of this package.
    labels: a list of names, or a mapping from name to query, to several queries or to `{"query",
        "threshold", "description", "pattern", "keep"}`, or a list of such mappings with a "name" each.
    threshold (float | None): the least score of a span, in [0, 1]; more trades recall for precision.
        None: the one that the weights were calibrated to, where they were not 0.5, and a link may bring
        a span that scores less. Tokens are tagged
        at the weights' own boundary, or at the threshold where that is lower: 0 tags every token.
    flat (bool): keep one of overlapping spans: the best-scored, but a label that was frequent in the
        training corpus gives way to a rarer one ("person" to "politician").
    set_ents (bool | str): write such flat spans to `doc.ents` too; entities that none of
        them overlaps are kept. "keep": where they overlap, the doc's earlier entities win. Tokens
        that are blocked for entities stay so.
    links, attributes, records: what is asked of the spans that were found, as in a schema; the answers are read by
        `metaie_spacy.links`, `span._.metaie_attributes` and `metaie_spacy.records`.
    link_threshold (float | None): the least probability of a link, in [0, 1]. None: the one that the weights were
        calibrated to, or 0.5; 0.15 for weights that are asked in words.
    spans_key (str): where in `doc.spans` the spans go; answers to links that are no such spans go beside them, under
        the key with "_answers" behind it.
    weights (str | None): package or directory that a fresh component takes its weights from, on
        first use; None: `nlp.initialize()` starts from the encoder's published weights.
    """

    def __init__(
        self,
        vocab: Vocab,
        model: Model,
        name: str = "metaie",
        *,
        labels: Iterable[str] | Mapping[str, Any] = (),
        threshold: float | None = None,
        flat: bool = False,
        set_ents: bool | str = False,
        links: Mapping[str, Any] | None = None,
        attributes: Mapping[str, Any] | None = None,
        records: Mapping[str, Any] | None = None,
        link_threshold: float | None = None,
        spans_key: str = "metaie",
        weights: str | None = None,
        scorer: Callable | None = None,
    ):
        self.vocab = vocab
        self.model = model
        self.name = name
        self.weights = weights
        self.scorer = scorer
        self.cfg: dict[str, Any] = {}
        self.labels = labels
        self.threshold = threshold
        self.flat = flat
        self.set_ents = set_ents
        self.set_links({"links": links, "attributes": attributes, "records": records})
        self.link_threshold = link_threshold
        self.spans_key = spans_key
        if self._labels:
            self._check_links([Ask(self._labels, links=self._links)])
        self._initial = self._settings()
        self._band: Band | None = None  # set by audits of what scores can be believed
        self.notes = False  # whether docs get a note (`notes.Note`) for a router behind this component
        self._space = None  # of `training`: labels of an open corpus, set by initialize
        self._seen_examples = self._steps_done = 0

    @property
    def labels(self) -> tuple[str, ...]:
        """Names of the labels asked of texts that bring none of their own. Set it at any time."""
        return tuple(label.name for label in self._labels)

    @labels.setter
    def labels(self, value: Iterable[str] | Mapping[str, Any]) -> None:
        self._labels = parse_labels(value)

    @property
    def label_data(self) -> dict[str, Any]:
        """The labels with their queries, thresholds and descriptions, as `labels` takes them."""
        return plain(self._labels)

    @property
    def threshold(self) -> float | None:
        """The threshold that was set. None: `effective_threshold` is the weights' own."""
        return self._threshold

    @threshold.setter
    def threshold(self, value: float | None) -> None:
        self._threshold = None if value is None else check_threshold(value)

    @property
    def flat(self) -> bool:
        """Whether one of overlapping spans is kept."""
        return self._flat

    @flat.setter
    def flat(self, value: bool) -> None:
        self._flat = check_switch(value, "flat")

    @property
    def set_ents(self) -> bool | str:
        """Whether such flat spans become `doc.ents` too; "keep": beside the entities that are there."""
        return self._set_ents

    @set_ents.setter
    def set_ents(self, value: bool | str) -> None:
        self._set_ents = check_set_ents(value)

    @property
    def band(self) -> dict[str, Any] | None:
        """Scores from which spans are accepted, and below which they are dropped; the others are in
        `doc._.metaie_unsure`. None: no band. `metaie audit selective` fits one, and it is saved with the pipeline."""
        return plain_band(self._band)

    @band.setter
    def band(self, value: Mapping[str, Any] | None) -> None:
        self._band = check_band(value)

    @property
    def effective_threshold(self) -> float:
        """What decides for labels without a threshold of their own. Loads the weights if they are asked."""
        if self._threshold is not None:
            return self._threshold
        self.load()
        return self.model.shims[0].threshold

    @property
    def schema(self) -> dict[str, Any]:
        """What is asked and how answers are kept, as JSON has it. Takes a mapping or a JSON file's path."""
        unset = {"spans_key", *(key for key in LINK_KEYS if not self._plain_links()[key])}
        if not self._links.relations and self.link_threshold is None:
            unset.add("link_threshold")
        return {key: value for key, value in self._settings().items() if key not in unset}

    @schema.setter
    def schema(self, source: str | Path | Mapping[str, Any]) -> None:
        settings = read_schema(source)
        self.set_links(settings)
        for key in settings.keys() - LINK_KEYS:
            setattr(self, key, settings[key])

    def _settings(self) -> dict[str, Any]:
        return {
            "labels": plain(self._labels),
            "threshold": self.threshold,
            "flat": self.flat,
            "set_ents": self.set_ents,
            **self._plain_links(),
            "link_threshold": self.link_threshold,
            "spans_key": self.spans_key,
        }

    def load(self) -> None:
        """Load the weights, if none are there yet.

        RAISES (ValueError): `weights` names nothing that can be found, or is damaged.
        """
        shim = self.model.shims[0]
        if shim.loaded:
            return
        if self.weights is None:
            raise ValueError(
                f"The component '{self.name}' has no weights: 'weights' is null and it was not initialized. "
                'Call nlp.initialize(), or set weights = "en_metaie_sm".'
            )
        with shim.lock:  # of several threads, one loads and the others wait
            if not shim.loaded:
                self.load_from(self.weights)

    def load_from(self, source: str, *, labels_only: bool = False) -> None:
        """Load weights, in place of those that are there.

        source (str): a package, a pipeline directory, or what `distill` wrote as `model/`.
        labels_only (bool): a SharedTransformer may start from the label encoder of a LabelToSpan.
        RAISES (ValueError): it is none of these, is damaged, or of another architecture.
        """
        from .model.weights import load_weights

        load_weights(self.model, source, labels_only=labels_only, sample=self._sample())

    def calibrate(
        self, temperature: float, bias: float, threshold: float, tag_threshold: float, *, labels: Any = None
    ) -> None:
        """Make every logit `logit / temperature + bias`, and the thresholds the weights' own, in place of the one set.

        temperature (float): above 0. bias (float): of B and I against O.
        threshold (float): the least score of a span. tag_threshold (float): at which tokens are tagged.
        labels: become the component's, with thresholds for the new logits; None: thresholds of the
            component's labels move along, so that they decide as before.
        RAISES (ValueError): the temperature or the threshold is out of range.
        """
        if not temperature > 0:
            raise ValueError(f"temperature must be above 0, not {temperature!r}.")
        check_threshold(threshold)
        check_threshold(tag_threshold, "tag_threshold")
        if labels is None:
            moved = (
                None if label.threshold is None else move_threshold(label.threshold, temperature, bias)
                for label in self._labels
            )
            labels = plain(label._replace(threshold=value) for label, value in zip(self._labels, moved))
        self.load()
        self.model.shims[0].calibrate(temperature, bias, threshold, tag_threshold)
        self.band = None  # it was of other scores
        self.labels, self.threshold = labels, None

    def __call__(
        self,
        doc: Doc,
        *,
        labels: Any = None,
        threshold: float | None = None,
        flat: bool | None = None,
        links: Mapping[str, Any] | None = None,
        attributes: Mapping[str, Any] | None = None,
        records: Mapping[str, Any] | None = None,
        link_threshold: float | None = None,
        adapter: str | None = None,
        batch_size: int | None = None,
    ) -> Doc:
        """Annotate one doc; the settings hold for this call only (through nlp's `component_cfg`).

        batch_size: no use; `nlp.pipe` leaves it in the caller's `component_cfg`.
        """
        asked = {"labels": labels, "threshold": threshold, "flat": flat, "link_threshold": link_threshold}
        asked |= {"links": links, "attributes": attributes, "records": records, "adapter": adapter}
        return next(self.pipe([doc], batch_size=1, **asked), doc)

    def pipe(
        self,
        stream: Iterable[Doc],
        *,
        batch_size: int = 128,
        labels: Any = None,
        threshold: float | None = None,
        flat: bool | None = None,
        links: Mapping[str, Any] | None = None,
        attributes: Mapping[str, Any] | None = None,
        records: Mapping[str, Any] | None = None,
        link_threshold: float | None = None,
        adapter: str | None = None,
    ) -> Iterator[Doc]:
        """Annotate a stream of docs in order; the settings hold for this call only.

        Labels that come without links have none; an adapter that comes without labels is asked its own. Batches of
        `batch_size` docs are re-batched inside by length. A doc that fails goes to the error handler alone; the
        others of its batch are kept.
        """
        given, own = None if labels is None else parse_labels(labels), self._own_ask(adapter)
        ask = own._replace(
            labels=own.labels if given is None else given,
            threshold=None if threshold is None else check_threshold(threshold),
            flat=None if flat is None else check_switch(flat, "flat"),
            links=self._asked_links(own, given, {"links": links, "attributes": attributes, "records": records}),
            link_threshold=None if link_threshold is None else check_threshold(link_threshold, "link_threshold"),
        )
        handler = self.get_error_handler()
        self.model.shims[0].enter_process()
        for docs in util.minibatch(stream, size=batch_size):
            yield from self._annotate(docs, ask, handler)

    def _annotate(self, docs: list[Doc], ask: Ask, handler: Callable) -> list[Doc]:
        """The docs that went well. Where one fails, halves are tried, so that the others stay batched."""
        try:
            self.set_annotations(docs, self.predict(docs, ask=ask))
            return docs
        except Exception as error:
            if len(docs) == 1:
                handler(self.name, self, docs, error)
                return []
        middle = len(docs) // 2
        return [*self._annotate(docs[:middle], ask, handler), *self._annotate(docs[middle:], ask, handler)]

    def predict(
        self, docs: Iterable[Doc], *, ask: Ask | None = None
    ) -> list[tuple[list[Answer], list[str], Followed | None, Note | None]]:
        """Answers of every doc, without changing it.

        ask (Ask | None): of docs that bring no `doc._.metaie_labels`, and how answers are kept where
            a doc does not say; None: as the component says.
        RETURNS (list): per doc its answers, the names of the labels that were asked, what came of its links, if
            any were asked, and a note, if `notes` asks for one.
        """
        docs = list(docs)
        default = self._own_ask(None) if ask is None else ask
        own = [doc_labels(doc, self.name) for doc in docs]
        asks = [default if given is None else parse_ask(given) for given in own]
        self._check_links(asks)
        if any(not asked.labels for asked in asks):
            warnings.warn(
                f"'{self.name}' was given no labels for some texts: nothing is extracted from them. Set its 'labels'.",
                stacklevel=2,
            )
        self.load()
        results: list[Any] = [None] * len(docs)
        for adapter, places in self._by_adapter(asks, default):
            with self.model.shims[0].using(adapter):
                part = self._predict([docs[i] for i in places], [asks[i] for i in places], default)
            for i, result in zip(places, part):
                results[i] = result
        return results

    def _predict(
        self, docs: list[Doc], asks: list[Ask], default: Ask
    ) -> Iterator[tuple[list[Answer], list[str], Followed | None, Note | None]]:
        """`predict` for docs that are read with the same weights."""
        threshold = self.effective_threshold
        limits = [_first_of(asked.threshold, default.threshold, threshold) for asked in asks]
        flats = [_first_of(asked.flat, default.flat, self.flat) for asked in asks]
        states = self.model.shims[0].keep_states(heads=any(map(asks_heads, asks)), means=self.notes)
        asks_weak = [self._asks_weak(asked, default) for asked in asks]
        dropped = [[] if self.notes or is_asked else None for is_asked in asks_weak]
        ranked = [len(asked.labels) if flat or self.set_ents else None for asked, flat in zip(asks, flats)]
        decoders = decoders_of(list(zip(limits, ranked)), self.model.shims[0].tag_threshold, self.generality)
        wanted = [asked.labels for asked in asks]
        answered = answers_of(self, docs, wanted, decoders, states, dropped)
        kept = [flatten(found) if flat else found for (found, _), flat in zip(answered, flats)]
        if self._band is not None:
            kept = [[answer for answer in found if self._band.keeps(answer)] for found in kept]
        names = [asked for _, asked in answered]
        weak = [
            weak_answers(doc, asked.labels, asked.links, found, low, flat=flat) if is_asked else []
            for doc, asked, is_asked, found, low, flat in zip(docs, asks, asks_weak, kept, dropped, flats)
        ]
        followed = self._follow(docs, kept, names, asks, default, states, weak)
        weak = [one.standing(own) if own else [] for own, one in zip(weak, followed)]
        kept = [found + own for found, own in zip(kept, weak)]
        if not self.notes:
            return zip(kept, names, followed, [None] * len(docs))
        means = {} if states is None else states.means()
        told = [ask._replace(flat=flat) for ask, flat in zip(asks, flats)]
        notes = [Note(ask, means.get(i), dropped[i], weak=weak[i]) for i, ask in enumerate(told)]
        return zip(kept, names, followed, notes)

    def generality(self, labels: Sequence[Label], n_asked: int) -> np.ndarray:
        """By how much each label gives way where `flat` or `set_ents` keeps one of overlapping spans, in log-odds.

        n_asked (int): how many labels the text is asked in all.
        """
        return np.array(generality([label.query for label in labels], self.model.shims[0].label_counts, n_asked))

    def score_labels(self, docs: list[Doc], wanted: Sequence[tuple[Label, ...]], kept: Any = None) -> Iterator[Logits]:
        """Logits of every doc for the labels wanted of it; of several wordings of a label, each token's best ones.

        kept (Kept | None): takes what the head pass goes on from.
        YIELDS (Logits): a doc comes once per chunk of its labels, and once for each label of several wordings.
        """
        self.load()
        different = {id(asked): asked for asked in wanted}  # thousands of labels take long to be hashed
        queries = {key: tuple(_queries(asked)) for key, asked in different.items()}
        more = () if kept is None else (kept,)
        scored = self.model.attrs["score"](self.model, docs, [queries[id(asked)] for asked in wanted], *more)
        return by_label(scored, wanted)

    def set_annotations(
        self, docs: Iterable[Doc], scores: list[tuple[list[Answer], list[str], Followed | None, Note | None]]
    ) -> None:
        for doc, (answers, asked, followed, note) in zip(docs, scores):
            if note is not None:
                leave_note(doc, self.name, note)
            write_group(doc, self.spans_key, answers, asked)
            mark(doc, self.spans_key, self._band)
            write_links(doc, self.spans_key, followed)
            forget_labels(doc, self.name)
            if self.set_ents:
                write_ents(doc, answers, keep=self.set_ents == KEEP)

    def replace(self, doc: Doc, answers: list[Answer], note: Note, asked: Iterable[str]) -> None:
        """Write answers from elsewhere in place of the component's own; links are followed from the new spans.

        What rules say of labels holds for them too: what a `pattern` matches stays, and what `keep` refuses goes.
        note (Note): what this component has left of the doc. asked (Iterable[str]): the labels that were asked there.
        """
        ask, labels = note.ask, note.ask.labels
        asked = {*asked}
        sought = {*doc.spans[self.spans_key].attrs["asked"], *asked}
        found = kept_answers(doc, [*rule_answers(doc, labels), *answers], labels)
        found = list({(one.label, one.start, one.end): one for one in reversed(found)}.values())[::-1]
        names = [name for name in asked_names(labels, {one.label for one in found}) if name in sought]
        found = [one for one in found if one.label in names]
        answers = flatten(found) if ask.flat else found
        if self.set_ents:
            ents = [Span(doc, start, end, label=label) for start, end, label in note.ents]
            doc.set_ents(ents, blocked=blocked_tokens(doc))
        weak: list[Answer] = []
        if self._asks_weak(ask, ask):
            own = [label for label in labels if label.name in names and label.name not in asked]
            weak = weak_answers(doc, own, ask.links, answers, note.dropped, flat=bool(ask.flat))
        ((adapter, _),) = self._by_adapter([ask], ask)
        with self.model.shims[0].using(adapter):
            (followed,) = self._follow([doc], [answers], [names], [ask], ask, weak=[weak])
        answers = answers + (followed.standing(weak) if weak else [])
        self.set_annotations([doc], [(answers, names, followed, None)])

    def score(self, examples: Iterable[Example], **kwargs) -> dict[str, Any]:
        if self.scorer is None:
            return {}
        return self.scorer(examples, spans_key=self.spans_key, **kwargs)

    def add_label(self, label: str) -> int:
        """Ask for one more label. RETURNS (int): 1 if it is new, else 0."""
        if label in self.labels:
            return 0
        self.labels = self.label_data | {label: label}
        return 1

    def to_bytes(self, *, exclude: Iterable[str] = ()) -> bytes:
        self.load()
        writers = {"schema": self._schema_bytes, "model": self.model.to_bytes}
        if self.adapters:
            writers["adapters"] = self._adapters_bytes
        return util.to_bytes(writers, exclude)

    def from_bytes(self, bytes_data: bytes, *, exclude: Iterable[str] = ()) -> "MetaIE":
        """RAISES (ValueError): the bytes are damaged."""
        source = "the bytes given"
        readers = {
            "schema": lambda data: self._read_schema(bytes(data), source),
            "model": lambda data: self._read_model(data, source),
            "adapters": lambda data: self._read_adapters(read_message(bytes(data)) if data else {}, source),
        }
        with reading(source):
            message = read_message(bytes_data)
            if not isinstance(message, dict):
                raise ValueError("they hold no component")
            message.setdefault("adapters", None)
        util.from_dict(message, readers, exclude)
        return self

    def to_disk(self, path: str | Path, *, exclude: Iterable[str] = ()) -> None:
        self.load()
        writers = {
            "schema.json": lambda p: p.write_bytes(self._schema_bytes()),
            "model": lambda p: p.write_bytes(self.model.to_bytes()),
            "adapters": self._write_adapters,
        }
        util.to_disk(path, writers, exclude)

    def from_disk(self, path: str | Path, *, exclude: Iterable[str] = ()) -> "MetaIE":
        """RAISES (ValueError): the directory holds no metaie component, or a damaged one."""
        path = util.ensure_path(path)
        missing = [name for name in ("schema.json", "model") if name not in exclude and not (path / name).exists()]
        if missing:
            raise ValueError(f"'{path}' is no saved metaie component: it lacks {' and '.join(missing)}.")
        source = f"'{path}'"
        with reading(source):
            schema = read_file(path / "schema.json", MOST_SCHEMA) if "schema" not in exclude else b""
            model = map_file(path / "model") if "model" not in exclude else b""
            adapters = adapter_files(path / "adapters") if "adapters" not in exclude else {}
        readers = {
            "schema.json": lambda _: self._read_schema(schema, source),
            "model": lambda _: self._read_model(model, source),
            "adapters": lambda _: self._read_adapters(adapters, source),
        }
        util.from_disk(path, readers, exclude)
        return self

    def _read_model(self, data: bytes | memoryview, source: str) -> None:
        from .model.weights import restore

        restore(self.model, data, source, sample=self._sample())

    def _sample(self) -> list[Doc]:
        """What a tok2vec of the component's own is initialized with or tried on."""
        return [Doc(self.vocab, words=["text"])]

    def _schema_bytes(self) -> bytes:
        content = {"format": 2, "initial": self._initial, "current": self._settings()}
        if self.adapter is not None:
            content["adapter"] = self.adapter
        if self._band is not None:
            content["band"] = self.band
        return json.dumps(content, indent=1).encode("utf8")

    def _read_schema(self, data: bytes, source: str) -> None:
        """Take the saved settings, but for those that the config changed since they were saved."""
        with reading(source):
            saved = parse_json(data)
            initial, current = saved["initial"], saved["current"]
            if "format" not in saved and self._initial["threshold"] is None and initial["threshold"] == 0.5:
                initial["threshold"] = None  # the default was written as 0.5 then
            if any(self._initial[key] != initial.get(key, {}) for key in LINK_KEYS):
                current = {key: value for key, value in current.items() if key not in LINK_KEYS}
            settings = {key: value for key, value in current.items() if self._initial[key] == initial[key]}
            for key, kind in (("flat", bool), ("spans_key", str)):
                if not isinstance(settings.get(key, kind()), kind):
                    raise ValueError(f"schema.json: {key} is {settings[key]!r}, not of the type {kind.__name__}")
            if "links" in settings:
                self.set_links(settings)
            for key in settings.keys() - LINK_KEYS:
                setattr(self, key, settings[key])
            self.band = saved.get("band")
            self._adapter = saved.get("adapter")  # one that is missing is told when the adapters are read


def _queries(labels: Iterable[Label]) -> Iterable[str]:
    return dict.fromkeys(query for label in labels for query in label.queries)


def _first_of(*values: Any) -> Any:
    """The first value that is not None."""
    return next(value for value in values if value is not None)
