"""The half of the component that asks for links: its settings, and following the answers of a batch."""

import warnings
from typing import Any, Mapping, Sequence

from spacy.tokens import Doc, Span

from ..schema import LINK_KEYS, Ask, Label, LinkSchema, check_config_labels, check_threshold, parse_links, plain_links
from ..spans import Answer
from .follow import Followed, Scorer, Wanted, follow
from .results import all_links, attributes_of
from .words import calibration_of, scorer_of

if not Doc.has_extension("metaie_links"):
    Doc.set_extension("metaie_links", getter=all_links)
if not Span.has_extension("metaie_attributes"):
    Span.set_extension("metaie_attributes", getter=attributes_of)


class AsksLinks:
    """Links between spans, mixed into `component.MetaIE`, whose attributes it uses."""

    _links = LinkSchema()
    _link_threshold: float | None = None
    _fits: tuple[Any, Any] = ((), LinkSchema())  # labels and links that were found to fit
    _told = False  # that links are asked in words

    @property
    def links(self) -> dict[str, Any]:
        """What is asked of the spans of a label: {"works_for": {"head": "PERSON", "query": "employer", "tail": "ORG"}}.

        Set it at any time, to names of labels that are asked or of other links.
        """
        return self._plain_links()["links"]

    @links.setter
    def links(self, value: Mapping[str, Any]) -> None:
        self._links = parse_links(self._plain_links() | {"links": value})

    @property
    def link_queries(self) -> dict[str, list[str]]:
        """The wordings of each relation that is asked."""
        found: dict[str, list[str]] = {}
        for relation in self._links.relations:
            own = found.setdefault(relation.name, [])
            own += [query for query in relation.queries if query not in own]
        return found

    @property
    def attributes(self) -> dict[str, Any]:
        """Options of which each span of a label has one: {"taste": {"head": "DISH", "options": ["good", "bad"]}}."""
        return self._plain_links()["attributes"]

    @attributes.setter
    def attributes(self, value: Mapping[str, Any]) -> None:
        self._links = parse_links(self._plain_links() | {"attributes": value})

    @property
    def records(self) -> dict[str, Any]:
        """How `metaie_spacy.records` groups it: {"person": {"anchor": "PERSON", "fields": ["works_for"]}}."""
        return self._plain_links()["records"]

    @records.setter
    def records(self, value: Mapping[str, Any]) -> None:
        self._links = parse_links(self._plain_links() | {"records": value})

    @property
    def link_threshold(self) -> float | None:
        """The least probability of links that have no threshold of their own. None: what the weights say."""
        return self._link_threshold

    @link_threshold.setter
    def link_threshold(self, value: float | None) -> None:
        self._link_threshold = None if value is None else check_threshold(value, "link_threshold")

    def set_links(self, value: Mapping[str, Any]) -> None:
        """Set links, attributes and records at once, those that are not given to none.

        RAISES (ValueError): as `parse_links`.
        """
        self._links = parse_links({key: value[key] for key in LINK_KEYS if value.get(key)})

    def _plain_links(self) -> dict[str, Any]:
        return dict.fromkeys(LINK_KEYS, {}) | plain_links(self._links)

    def _asked_links(self, own: Ask, labels: Sequence[Label] | None, given: Mapping[str, Any]) -> LinkSchema:
        """The links of one call: those that it gives, else those of `own`, but none of labels that it brings alone.

        RAISES (ValueError): those that it gives are malformed, or name a label that is not asked.
        """
        given = {key: value for key, value in given.items() if value is not None}
        if given:
            return parse_links(given, own.labels if labels is None else labels)
        return own.links or LinkSchema() if labels is None else LinkSchema()

    def _check_links(self, asks: Sequence[Ask]) -> None:
        """RAISES (ValueError): the component's own links are asked, and name a label that it does not ask any more."""
        if self._fits != (self._labels, self._links) and any(ask.links is self._links for ask in asks):
            parse_links(self._plain_links(), self._labels)
            self._fits = self._labels, self._links

    def _follow(
        self,
        docs: Sequence[Doc],
        found: Sequence[list[Answer]],
        labels: Sequence[list[str]],
        asks: Sequence[Ask],
        default: Ask,
        kept: Any = None,
        weak: Sequence[list[Answer]] | None = None,
    ) -> list[Followed | None]:
        """What came of the links of each doc; None: none were asked.

        found (Sequence[list[Answer]]): the answers of each doc that are kept. labels (Sequence[list[str]]): the names
            of those that were asked of it. kept (Kept | None): states of docs that were read. weak (Sequence | None):
            spans of each doc that stand only if a link does.
        """
        wanted: dict[int, Wanted] = {}
        for i, (doc, answers, asked, ask) in enumerate(zip(docs, found, labels, asks)):
            if asks_heads(ask):
                schema = ask.links or LinkSchema()
                limits = (ask.link_threshold, default.link_threshold, self.link_threshold)
                threshold = next((limit for limit in limits if limit is not None), None)
                wanted[i] = Wanted(doc, answers, asked, schema, threshold, weak[i] if weak else ())
        if not wanted:
            return [None] * len(docs)
        scorer = self._head_scorer(kept and kept.of(list(wanted)))
        followed = dict(zip(wanted, follow(list(wanted.values()), scorer, calibration_of(self))))
        return [followed.get(i) for i in range(len(docs))]

    def _asks_weak(self, ask: Ask, default: Ask) -> bool:
        """Whether spans below the threshold of the weights may be ends of the links that are asked."""
        return ask.links is not None and bool(ask.links.relations) and self.may_be_weak(ask, default)

    def may_be_weak(self, ask: Ask, default: Ask) -> bool:
        """Whether nobody chose a threshold of spans, and the weights can be asked about one span."""
        chosen = ask.threshold, default.threshold, self.threshold, self._band
        return self.model.shims[0].binds and all(one is None for one in chosen)

    def _head_scorer(self, kept: Any) -> Scorer:
        """`scorer_of` the component, which says once that its weights have no way of their own."""
        if not self.model.shims[0].binds and not self._told:
            self._told = True
            warnings.warn(
                f"The weights of '{self.name}' cannot be asked about one span, so that links are asked in words, such "
                "as 'employer of Ada Lovelace'. Of several heads in a sentence the wrong one is often answered for. "
                "Take weights that were trained on links.",
                stacklevel=2,
            )
        return scorer_of(self, kept)


def asks_heads(ask: Ask) -> bool:
    """Whether anything is asked about the spans that are found."""
    return ask.links is not None and bool(ask.links.relations or ask.links.attributes)


def check_config_links(links: Mapping[str, Any]) -> None:
    """RAISES (ValueError): these links would not survive in a config file, where dots and the like are syntax."""
    try:
        check_config_labels(links)
    except ValueError:
        raise ValueError(
            f"A config file cannot hold these links as they are: {links!r}. Give names without dots, colons and the "
            'like, leave out "${", or set them at run time: nlp.get_pipe("metaie").schema = ...'
        ) from None
