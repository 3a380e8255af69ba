"""The trainable half of the component: what it starts from, and its steps."""

import random
from itertools import islice
from typing import Any, Callable, Iterable, Iterator, Sequence

from spacy.language import Language
from spacy.training import Example, validate_examples, validate_get_examples
from thinc.api import Optimizer

from .data.items import Item, asked_in_words, example_item, survey
from .pipelines import span_keys, trains_from_files


class Trains:
    """Training, mixed into `component.MetaIE`, whose attributes it uses."""

    def initialize(
        self,
        get_examples: Callable[[], Iterable[Example]],
        *,
        nlp: Language | None = None,
        labels: list[str] | dict[str, Any] | None = None,
        init_from: str | None = None,
    ) -> None:
        """Load starting weights and settle which labels training asks.

        Examples whose docs carry `_.metaie_labels` are open: each is asked its own labels and
        sampled negatives. All others share one closed set: `labels`, else the component's, else
        all labels of the examples.

        init_from (str | None): package or directory to start from; None: `weights`, and if that is
            null too, the encoder's published weights.
        RAISES (ValueError): as `survey`, `load_from` and `check_score_weights`.
        """
        validate_get_examples(get_examples, "MetaIE.initialize")
        if nlp is not None and trains_from_files(nlp):
            from .measure.scores import check_score_weights

            check_score_weights(nlp.config["training"].get("score_weights", {}), self.spans_key, span_keys(nlp))
        start = init_from or self.weights
        self.model.attrs["prepare"](self.model, [eg.predicted for eg in islice(get_examples(), 10)])
        if start is None:
            self.model.initialize()
        else:
            self.load_from(start, labels_only=True)
        if labels is not None:
            self.labels = labels
        items, found, is_open = survey(get_examples(), self.spans_key)
        if found and not self._labels:
            self.labels = found
        if any(item.links for item in items) and start is None:
            self.model.shims[0].add_links()
        if is_open:
            from .train.batches import LabelSpace

            self._space = LabelSpace(items)
            self._space.embed(self.model.shims[0].module, self.model.shims[0].pieces)

    def update(
        self,
        examples: Iterable[Example],
        *,
        drop: float = 0.0,
        sgd: Optimizer | None = None,
        losses: dict[str, float] | None = None,
    ) -> dict[str, float]:
        """One step on a batch. `drop` is not used: dropout is an argument of the architecture.

        RAISES (ValueError): a closed example has a label that the component lacks.
        """
        losses = {} if losses is None else losses
        losses.setdefault(self.name, 0.0)
        examples = list(examples)
        validate_examples(examples, "MetaIE.update")
        self.load()
        self.model.shims[0].uncalibrate()
        parts = list(self._steps(examples))
        for part, is_open in parts:
            losses[self.name] += self._step(part, is_open=is_open)
        if sgd is not None and parts:
            self.finish_update(sgd)
        return losses

    def _steps(self, examples: list[Example]) -> Iterator[tuple[list[Example], bool]]:
        """The examples that go through together, and whether they bring labels of their own; none where nothing of any
        example is known.

        RAISES (ValueError): both kinds must go through together.
        """
        is_open = [eg.reference._.metaie_labels is not None for eg in examples]
        if self.model.attrs["one_step"]:
            if len(set(is_open)) > 1:
                raise ValueError(
                    f"A batch for '{self.name}' mixes docs with labels of their "
                    "own and docs without. Train on one kind."
                )
            if any(len(eg.predicted) and self.spans_key in eg.reference.spans for eg in examples):
                yield examples, is_open[0]
            return
        for group in (True, False):
            known = [len(eg.predicted) > 0 and self.spans_key in eg.reference.spans for eg in examples]
            part = [eg for eg, own, is_known in zip(examples, is_open, known) if own is group and is_known]
            if part:
                yield part, group

    def _step(self, examples: list[Example], *, is_open: bool) -> float:
        docs, items = [eg.predicted for eg in examples], [example_item(eg, self.spans_key) for eg in examples]
        make_batch = self._open_batch if is_open else self._closed_batch
        batch, texts = self.model.attrs["training_input"](self.model, docs, items, make_batch)
        loss = self._descend(batch, texts)
        if self.model.shims[0].binds and any(item.links for item in items):
            # In a batch of their own: the losses of labels and links would share its weights.
            batch, texts = self.model.attrs["training_input"](self.model, docs, items, self._link_batch)
            loss += self._descend(batch, texts)
        return loss

    def _descend(self, batch: Any, texts: Any) -> float:
        """Backpropagate the loss of a batch. RETURNS (float): it."""
        from .train.optim import check_loss, loss_gradient

        logits, backprop = self.model.begin_update((texts, batch.labels, batch.asked))
        loss, d_logits = loss_gradient(logits, batch)
        self._steps_done += 1
        check_loss(loss, self._steps_done)
        backprop(d_logits)
        return loss

    def _link_batch(self, items: Sequence[Item]) -> Any:
        from .train.batches import link_batch

        rng, by_token = random.Random(self._steps_done), self.model.has_ref("tok2vec")
        queries = self.link_queries
        items = [item._replace(links=asked_in_words(item.links, queries)) for item in items]
        return link_batch(items, self.model.shims[0].pieces, rng, by_token=by_token)

    def _open_batch(self, items: Sequence[Item]) -> Any:
        from .train.batches import LabelSpace, open_batch

        self._space = self._space or LabelSpace(items)
        self._seen_examples += len(items)
        return open_batch(items, self.model.shims[0].pieces, self._space, random.Random(self._seen_examples))

    def _closed_batch(self, items: Sequence[Item]) -> Any:
        from .train.batches import closed_batch

        if not self._labels:
            raise ValueError(
                f"'{self.name}' has no labels to train on. Set its 'labels', or call "
                "nlp.initialize() with examples that have some."
            )
        return closed_batch(items, self._labels, self.model.shims[0].pieces)

    def get_loss(self, examples: Iterable[Example], scores: Any) -> tuple[float, Any]:
        """RAISES (NotImplementedError): labels are sampled with the batch; `update` computes the loss."""
        raise NotImplementedError("MetaIE samples the labels of a batch together with its loss: call update().")
