"""The usual alternative: an encoder with a token-classification head for a closed label set."""

import random
from typing import Callable, Collection, Sequence

import torch
from torch.nn.functional import cross_entropy
from transformers import AutoModelForTokenClassification, AutoTokenizer

from metaie_spacy.data.items import Item
from metaie_spacy.fewshot import Settings
from metaie_spacy.train.optim import trained
from metaie_spacy.train.shots import cycle, descend


class PlainTagger:
    """B and I of every label against one O, on the first piece of each token.

    encoder (str): Hugging Face name or directory. labels (Sequence[str]): the closed set.
    """

    def __init__(self, encoder: str, labels: Sequence[str], seed: int):
        torch.manual_seed(seed)
        self.labels = list(labels)
        self.tokenizer = AutoTokenizer.from_pretrained(encoder, use_fast=True)
        self.model = AutoModelForTokenClassification.from_pretrained(encoder, num_labels=1 + 2 * len(self.labels))

    def encode(self, items: Sequence[Item]) -> tuple[dict, torch.Tensor]:
        """Padded inputs, and the word of each piece that is a word's first, else -1, int64 (B, T)."""
        batch = self.tokenizer(
            [item.words for item in items], is_split_into_words=True, truncation=True, padding=True, return_tensors="pt"
        )
        words = torch.full(batch["input_ids"].shape, -1)
        for b in range(len(items)):
            before = None
            for t, word in enumerate(batch.word_ids(b)):
                if word is not None and word != before:
                    words[b, t] = word
                before = word
        return dict(batch), words

    def fit(
        self, items: Sequence[Item], settings: Settings, steps: Collection[int], on_step: Callable[[int], None]
    ) -> None:
        """As `fewshot.train`: same batches, rates, averaging and frozen word vectors. `on_step` comes after each of `steps`."""
        batches = cycle(items, min(settings.batch_size, len(items)), random.Random(settings.seed))

        def backward() -> float:
            part = next(batches)
            inputs, words = self.encode(part)
            loss = cross_entropy(
                self.model(**inputs).logits.flatten(0, 1), self.tags(part, words).flatten(), ignore_index=-100
            )
            loss.backward()
            return loss.item()

        self.model.get_input_embeddings().weight.requires_grad_(False)
        head = list(self.model.classifier.parameters())
        body = trained(self.model.base_model)
        groups = [
            {"params": part, "lr": settings.lr * scale, "weight_decay": settings.weight_decay} for part, scale in ((body, 1.0), (head, settings.head_scale))
        ]  # fmt: skip
        for step, _, average in descend(self.model, groups, backward, settings):
            if step in steps:
                with average.in_place(self.model):
                    on_step(step)

    def tags(self, items: Sequence[Item], words: torch.Tensor) -> torch.Tensor:
        """Tag of each piece: 0 = O, 1 + 2u = B and 2 + 2u = I of label u, -100 where no word begins."""
        tags = torch.full(words.shape, -100)
        for b, item in enumerate(items):
            gold = [0] * len(item.words)
            for start, end, label in item.spans:
                u = self.labels.index(label)
                gold[start:end] = [1 + 2 * u] + [2 + 2 * u] * (end - start - 1)
            for t in (words[b] >= 0).nonzero()[:, 0].tolist():
                tags[b, t] = gold[words[b, t]]
        return tags

    def predict(self, items: Sequence[Item], batch_size: int = 32) -> list[set[tuple[int, int, str]]]:
        """Spans of each text on its tokens: (first, end, label)."""
        self.model.eval()
        found: list[set] = [set() for _ in items]
        order = sorted(range(len(items)), key=lambda i: len(items[i].words))
        for at in range(0, len(order), batch_size):
            part = order[at : at + batch_size]
            inputs, words = self.encode([items[i] for i in part])
            with torch.inference_mode():
                best = self.model(**inputs).logits.argmax(-1)
            for b, i in enumerate(part):
                tags = {int(words[b, t]): int(best[b, t]) for t in (words[b] >= 0).nonzero()[:, 0]}
                found[i] = self.spans(tags, len(items[i].words))
        return found

    def spans(self, tags: dict[int, int], n_words: int) -> set[tuple[int, int, str]]:
        """`B I*` runs of one label; an I without a B of its label opens a span."""
        found, begin, label = set(), 0, None
        for i in range(n_words + 1):
            tag = tags.get(i, 0) if i < n_words else 0
            u = (tag - 1) // 2 if tag else None
            if label is not None and (tag == 0 or tag % 2 == 1 or u != label):
                found.add((begin, i, self.labels[label]))
                label = None
            if tag and label is None:
                begin, label = i, u
        return found
