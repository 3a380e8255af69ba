"""Corpus -> weights: a plain torch loop on accelerate with exact resume (torch and transformers only)."""

import json
import logging
import math
import random
import time
from dataclasses import asdict
from itertools import islice
from pathlib import Path
from typing import Callable, Iterator, Mapping, Sequence

import numpy as np
import torch
from safetensors.torch import save_file
from tqdm import tqdm

from ..data.files import check_apart, replacing, restored, write_text
from ..data.items import Item, read_items, split_dev
from ..data.jsonl import write_jsonl
from ..data.known import Known
from ..data.wordings import read_wordings
from ..measure.scores import PRF, exact_matches
from ..model.defaults import DROPOUT, HEAD_INNER, HEAD_WIDTH
from ..model.encoder import PackedEncoder
from ..model.modules import CrossEncoder, LabelToSpan
from ..model.pieces import WordPieces, label_sizes, load_tokenizer
from ..model.saved import FILES, WEIGHTS, filled, read_directory
from ..model.windows import cut_items
from ..spans import decode
from .batches import Batch, LabelSpace, link_batch, open_batch, recased
from .link_dev import settle_link_bias
from .optim import Average, check_loss, check_weights, parameter_groups, tagging_loss
from .settings import DistillSettings as Settings

logger = logging.getLogger("metaie_spacy")
MODULES = {"LabelToSpan": LabelToSpan, "CrossEncoder": CrossEncoder}
SETTINGS = "settings.json"
WRITTEN = ("model", "checkpoint", "log.jsonl", "dev.jsonl", SETTINGS)  # under a run's output
BUCKET = 64  # batches whose texts are sorted by length together
THRESHOLDS = tuple(t / 100 for t in range(50, 95, 5))  # tried on dev when O's lowered weight is made good


def distill(
    corpus: Mapping[str | Path, float],
    output: str | Path,
    settings: Settings,
    *,
    tokenize: Callable[[str], list[tuple[int, int]]],
    dev: str | Path | None = None,
    save_every: int = 250,
) -> dict:
    """Train an open-label model on annotation rows; a second call with the same arguments resumes.

    corpus (Mapping): annotation file -> times it is seen in an epoch (0.5: another half each epoch).
    output (Path): takes `model/` (what `weights` and `init_from` read), `checkpoint/`, `log.jsonl`,
        `dev.jsonl` (ids of the dev split) and `settings.json`.
    tokenize (Callable): text -> character offsets of its tokens.
    dev (Path | None): annotation file to choose by; None: a share of the corpus is held out.
    save_every (int): steps between checkpoints.
    RETURNS (dict): steps, seconds, loss, and precision, recall and F on the dev split, where each
        text is asked its own and its absent labels.
    RAISES (ValueError): a bad corpus row, or `output` holds a run with other settings.
    """
    output = Path(output)
    run = prepare(corpus, output, settings, tokenize, dev)
    train(run, output, save_every)
    return finish(run, output)


def prepare(
    corpus: Mapping[str | Path, float],
    output: Path,
    settings: Settings,
    tokenize: Callable[[str], list[tuple[int, int]]],
    dev: str | Path | None,
) -> "Run":
    """Everything that the first step needs, as a run that stands where its last checkpoint stood.

    RAISES (ValueError): as `distill`.
    """
    from accelerate.utils import set_seed

    if settings.init_from and not dev and settings.dev_share:
        raise ValueError(
            "With init_from, give the dev rows of the earlier run as 'dev': a share "
            "drawn anew may hold rows that it was trained on."
        )
    for path, weight in corpus.items():
        if not 0 < weight < math.inf:
            raise ValueError(f"'{path}' is seen {weight!r} times an epoch; the weight must be above 0.")
    for name in WRITTEN:
        check_apart(output / name, *corpus, dev, settings.init_from or None)
    chosen = {"dev": str(dev)} if dev else {}
    noted = {"corpus": {str(path): weight for path, weight in corpus.items()}, **asdict(settings), **chosen}
    check_same_run(output, noted)
    set_seed(settings.seed)
    parts, held = split_corpus(corpus, tokenize, settings, dev)
    model, pieces = start_model(settings)
    parts = [(cut_items(items, pieces, model.text_room), weight) for items, weight in parts]
    held = cut_items(held, pieces, model.text_room)
    check_learnable([item for items, weight in parts for item in items if weight], held, pieces, model)
    run = Run(model, pieces, parts, held, settings)
    run.resume(output / "checkpoint")
    write_settings(output, noted)  # only now: a call that is refused must not bind the corrected one
    return run


def check_learnable(items: Sequence[Item], held: Sequence[Item], pieces: WordPieces, model: PackedEncoder) -> None:
    """RAISES (ValueError): there is nothing to learn, or a label that the model cannot be asked."""
    if not any(item.spans for item in items):
        raise ValueError(
            f"There is nothing to train on: {len(items)} texts with no span that begins and ends with a token."
        )
    asked = {label for item in [*items, *held] for label in item.answered}
    asked |= {question.label for item in [*items, *held] for question in item.links}
    label_sizes(sorted(asked), pieces, model.label_room)


def train(run: "Run", output: Path, save_every: int) -> None:
    """The steps that are left, with a checkpoint at every `save_every` of them and after the last."""
    settings, progress = run.settings, run.progress
    bar = tqdm(total=run.steps, initial=progress.step, desc="distill", unit="step", mininterval=5)
    stream: Iterator = batch_stream(run.parts, settings.batch_size, settings.seed, run.rank, run.ranks)
    # Batches that were done before the interruption are drawn and passed over.
    asks = [asks_links(step, run.link_share) for step in range(run.steps)]
    done = sum(asks[: progress.step])
    stream = islice(stream, progress.step - done, None)
    questions = islice(question_stream(run, settings), done, None)
    epoch = 0
    for step in range(progress.step, run.steps):
        rng = random.Random(f"{settings.seed}:{step}:{run.rank}")
        if asks[step]:
            run.step(link_batch(next(questions)[1], run.pieces, rng, space=run.space))
        else:
            epoch, items = next(stream)
            if settings.recase:  # capitals may have more pieces
                items = cut_items(recased(items, settings.recase, rng), run.pieces, run.model.text_room)
            run.step(open_batch(items, run.pieces, run.space, rng))
        bar.update()
        if run.is_main and progress.step % 50 == 0:
            bar.set_postfix_str(f"loss {progress.mean(50):.3f}")
            log(output, {"step": progress.step, "epoch": epoch, "loss": progress.mean(50), "seconds": progress.seconds})
        if run.is_main and (progress.step % save_every == 0 or progress.step == run.steps):
            run.save(output / "checkpoint")
    bar.close()


def asks_links(step: int, share: float) -> bool:
    """Whether a step asks about spans: so many of all steps, evenly spread."""
    return math.floor((step + 1) * share + 1e-9) > math.floor(step * share + 1e-9)


def question_stream(run: "Run", settings: Settings) -> Iterator[tuple[int, list[Item]]]:
    """Batches of texts with questions about their spans; those of labels that name a span at `settings.anchored`."""
    size = max(1, settings.batch_size // 2)  # a text comes once per head
    return batch_stream(run.questions, size, settings.seed, run.rank, run.ranks)


def finish(run: "Run", output: Path) -> dict:
    """Keep the averaged weights, settle their bias and write them. RETURNS (dict): as `distill`."""
    run.average.copy_to(run.model)
    check_weights(run.model)
    result = {"steps": run.steps, "seconds": round(run.progress.seconds), "loss": run.progress.mean(200)}
    if not run.settings.only_links:
        result |= settle_bias(run.model, run.pieces, run.held)
    if run.link_share:
        result |= settle_link_bias(run.model, run.pieces, run.held)
    if run.is_main:
        save_model(run.model, run.pieces.tokenizer, output / "model")
        write_dev(output / "dev.jsonl", run.held)
        log(output, result)
    return result


def start_model(settings: Settings) -> tuple[PackedEncoder, WordPieces]:
    """The weights that training starts from, and their tokenizer.

    RAISES (ValueError): `init_from` holds no such weights, or weights of another architecture.
    """
    architecture = MODULES[settings.architecture]
    if not settings.init_from:
        pieces = WordPieces(load_tokenizer(settings.encoder))
        options = model_options(pieces, text_sees_labels=settings.text_sees_labels, dropout=settings.dropout)
        return architecture.from_pretrained(settings.encoder, options), pieces
    path = Path(settings.init_from)
    missing = [name for name in (WEIGHTS, *FILES) if not (path / name).exists()]
    if missing:
        raise ValueError(f"init_from: '{path}' holds no {missing[0]}. Give the model/ directory of an earlier run.")
    saved = read_directory(path)
    pieces, config = WordPieces(saved.tokenizer), saved.config
    options = model_options(pieces, text_sees_labels=settings.text_sees_labels, dropout=settings.dropout)
    found = (config.metaie["architecture"], config.metaie.get("text_sees_labels"))
    options["text_sees_labels"] = found[1] if settings.text_sees_labels is None else settings.text_sees_labels
    if found != (settings.architecture, options["text_sees_labels"]):
        raise ValueError(f"init_from: '{path}' holds (architecture, text_sees_labels) = {found}. Train with the same.")
    config.metaie = {**config.metaie, **options}
    return filled(architecture, saved), pieces


def split_corpus(
    corpus: Mapping[str | Path, float],
    tokenize: Callable[[str], list[tuple[int, int]]],
    settings: Settings,
    dev: str | Path | None = None,
) -> tuple[list[tuple[list[Item], float]], list[Item]]:
    """Read the files, and the dev split or hold one out. RETURNS (tuple): [(items, weight)], dev items"""
    train, held = [], read_items(dev, tokenize) if dev else []
    for path, weight in corpus.items():
        items = read_items(path, tokenize, anchored=bool(settings.link_share and settings.anchored))
        kept, part = split_dev(items, 0.0 if dev else settings.dev_share, settings.seed)
        train.append((kept, weight))
        held += part
    return train, held


def questions_of(parts: list[tuple[list[Item], float]], anchored: float) -> list[tuple[list[Item], float]]:
    """The items that ask about their spans: rows with links once an epoch, labels that name a span so often."""
    found: list[tuple[list[Item], float]] = []
    for items, weight in parts:
        asking = [item for item in items if item.links]
        own = [item for item in asking if not item.anchored]
        found += [(own, 1.0)] if own else []
        named = [item for item in asking if item.anchored]
        found += [(named, anchored * min(1.0, weight))] if named and anchored else []
    return found


class Run:
    """The state of a training run, on whatever accelerate finds: data, module, optimizer, averages, progress.

    model (PackedEncoder): what is trained, in place. pieces (WordPieces): its tokenizer.
    parts (list): training items that fit the model, and the times they are seen in an epoch.
    held (list[Item]): the dev split.
    """

    def __init__(
        self,
        model: PackedEncoder,
        pieces: WordPieces,
        parts: list[tuple[list[Item], float]],
        held: list[Item],
        settings: Settings,
    ):
        from accelerate import Accelerator

        self.accelerator = Accelerator(mixed_precision=settings.mixed_precision)
        self.rank, self.ranks = self.accelerator.process_index, self.accelerator.num_processes
        self.is_main = self.accelerator.is_main_process
        self.settings, self.pieces, self.parts, self.held = settings, pieces, parts, held
        self.questions = questions_of(parts, settings.anchored)
        self.link_share = settings.link_share if self.questions else 0.0
        if settings.link_share and not self.questions:
            raise ValueError(
                f"link_share is {settings.link_share}, but no row of the corpus has links. "
                "Give rows with links, or set it to 0."
            )
        if self.link_share and not model.binds:
            model.add_links(settings.link_layer if settings.link_layer >= 0 else None)
        if settings.only_links:
            for name, parameter in model.named_parameters():
                parameter.requires_grad_(name.startswith("links."))
            self.link_share = 1.0
        self.steps = settings.steps or self._steps()
        self.model = model.to(self.accelerator.device)
        wordings = read_wordings(settings.wordings) if settings.wordings else None
        self.space = LabelSpace([item for items, _ in parts for item in items], wordings, settings.reword)
        self.space.embed(model, pieces, seed=settings.seed)
        model.config.metaie["label_counts"] = self.space.counts
        groups = parameter_groups(model, settings.lr, settings.head_scale, settings.weight_decay)
        optimizer = torch.optim.AdamW(groups, fused=True)
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: ramp(step, self.steps, settings.warmup))
        self.wrapped, self.optimizer, self.schedule = self.accelerator.prepare(model, optimizer, schedule)
        self.average, self.progress = Average(model, settings.ema), Progress()
        self.accelerator.register_for_checkpointing(self.average, self.progress)

    def _steps(self) -> int:
        """What the epochs need: passes over the corpus, beside which questions are asked; or over these alone."""
        size, share = self.settings.batch_size, self.link_share
        if self.settings.only_links:
            size, share = max(1, size // 2), 0.0
        parts = self.questions if self.settings.only_links else self.parts
        texts = sum(len(items) * weight for items, weight in parts) * self.settings.epochs
        return max(1, round(texts / size / self.ranks / (1 - min(share, 0.9))))

    def step(self, batch: Batch) -> None:
        """One optimizer step."""
        began = time.perf_counter()
        batch = batch.to(self.accelerator.device)
        self.wrapped.train()
        with self.accelerator.autocast():
            logits = self.wrapped(batch.texts, batch.labels, batch.asked)
        loss = tagging_loss(logits, batch, self.settings.o_weight)
        value = check_loss(loss.item(), self.progress.step + 1, self.settings.lr)
        self.accelerator.backward(loss)
        self.accelerator.clip_grad_norm_(self.wrapped.parameters(), 1.0)
        self.optimizer.step()
        self.schedule.step()
        self.optimizer.zero_grad()
        self.average.update(self.model)
        self.progress.count(value, time.perf_counter() - began)

    def resume(self, path: Path) -> None:
        """Go on where a checkpoint stands, if there is one."""
        path = restored(path)
        if path.exists():
            self.accelerator.load_state(path)
            logger.info("Resuming at step %d of %d.", self.progress.step, self.steps)

    def save(self, path: Path) -> None:
        """Replace the checkpoint; a run killed at any moment finds the new or the old one."""
        with replacing(path) as new:
            self.accelerator.save_state(new)


def model_options(pieces: WordPieces, *, text_sees_labels: bool | None, dropout: float = DROPOUT) -> dict:
    """`config.metaie`: everything that rebuilds the head."""
    return {
        "text_sees_labels": text_sees_labels,
        "head_inner": HEAD_INNER,
        "head_width": HEAD_WIDTH,
        "dropout": dropout,
        "cls_id": pieces.cls_id,
        "sep_id": pieces.sep_id,
    }


def check_same_run(output: Path, settings: dict) -> None:
    """RAISES (ValueError): `output` was begun with other settings."""
    path = output / SETTINGS
    if path.exists() and path.read_text(encoding="utf8") != settings_text(settings):
        raise ValueError(f"'{output}' holds a run with other settings ({path}). Give another output directory.")


def write_settings(output: Path, settings: dict) -> None:
    """Note the settings of a run, for the one that resumes it."""
    output.mkdir(parents=True, exist_ok=True)
    write_text(output / SETTINGS, settings_text(settings))


def settings_text(settings: dict) -> str:
    return json.dumps(settings, indent=1, sort_keys=True)


def ramp(step: int, steps: int, warmup: float) -> float:
    """Linear warm-up over a share of the steps, then linear decay to 0."""
    rise = max(1, round(steps * warmup))
    return (step + 1) / rise if step < rise else max(0.0, (steps - step) / max(1, steps - rise))


class Progress:
    """Steps, seconds and recent losses of a run, over all its resumptions."""

    def __init__(self):
        self.step, self.seconds, self.losses = 0, 0.0, []

    def count(self, loss: float, seconds: float) -> None:
        self.step, self.seconds = self.step + 1, self.seconds + seconds
        self.losses = (self.losses + [loss])[-200:]

    def mean(self, n: int) -> float:
        return float(np.mean(self.losses[-n:])) if self.losses else float("nan")

    def state_dict(self) -> dict:
        return vars(self)

    def load_state_dict(self, state: dict) -> None:
        vars(self).update(state)


def batch_stream(
    parts: list[tuple[list[Item], float]], batch_size: int, seed: int, rank: int = 0, ranks: int = 1
) -> Iterator[tuple[int, list[Item]]]:
    """Length-bucketed batches without end, the same for the same seed.

    parts (list): items and the times they are seen in an epoch.
    YIELDS (tuple): epoch number, items of one batch.
    """
    epoch = 0
    while any(items for items, _ in parts):
        rng = random.Random(f"{seed}:{epoch}")
        order: list[Item] = []
        for items, weight in parts:
            n = len(items)
            begin, end = round(epoch * weight * n), round((epoch + 1) * weight * n)
            for lap in range(begin // max(1, n), -(-end // max(1, n))):
                shuffled = random.Random(f"{seed}:lap:{lap}").sample(items, n)
                order += shuffled[max(0, begin - lap * n) : end - lap * n]
        rng.shuffle(order)
        bucket = BUCKET * batch_size
        batches = []
        for start in range(0, len(order), bucket):
            part = sorted(order[start : start + bucket], key=lambda item: len(item.words))
            batches += [part[i : i + batch_size] for i in range(0, len(part), batch_size)]
        rng.shuffle(batches)
        for batch in batches[rank::ranks]:
            yield epoch, batch
        epoch += 1


def settle_bias(model: PackedEncoder, pieces: WordPieces, dev: list[Item]) -> dict:
    """Fold the threshold that is best on dev into the head's bias, so that 0.5 is the right default.

    Training weighs O less than B and I, which makes the plain argmax too eager.

    RETURNS (dict): the threshold, and scores on dev (each text asked its own and absent labels)
        before and after.
    """
    scores = dev_scores(model, pieces, dev, THRESHOLDS)
    best = max(THRESHOLDS, key=lambda threshold: scores[threshold].fscore)
    with torch.no_grad():
        model.bias -= math.log(best / (1 - best))
    before, after = scores[0.5], scores[best]
    result = {"dev_texts": len(dev), "threshold": best, "dev_f_before": before.fscore}
    return result | {"dev_p": after.precision, "dev_r": after.recall, "dev_f": after.fscore}


def dev_scores(
    model: PackedEncoder, pieces: WordPieces, items: list[Item], thresholds: Sequence[float], *, batch_size: int = 16
) -> dict[float, PRF]:
    """Exact-match scores at each threshold when each text is asked its own and its absent labels."""
    model.eval()
    counts = {threshold: PRF(0, 0, 0) for threshold in thresholds}
    ordered = sorted((item for item in items if item.answered), key=lambda item: len(item.words))
    for start in tqdm(range(0, len(ordered), batch_size), desc="dev", mininterval=5):
        part = ordered[start : start + batch_size]
        known = [Known(item.spans, item.answered, item.unsure) for item in part]
        outputs = list(predict_items(model, pieces, part))
        for threshold in thresholds:
            found = []
            for logits, labels, tokens in outputs:
                answers = decode(logits, labels, np.full(len(labels), threshold), tokens)
                found.append({(a.start, a.end, a.label) for a in answers})
            found = [given.counted(spots) for given, spots in zip(known, found)]
            matches = exact_matches([given.spans for given in known], found)
            counts[threshold] = PRF(*map(sum, zip(counts[threshold], matches)))
    return counts


def predict_items(
    model: PackedEncoder, pieces: WordPieces, items: list[Item]
) -> Iterator[tuple[np.ndarray, list[str], list[int]]]:
    """Per item its logits (W, U, 2), its own and absent labels (U), and its scored words (W)."""
    wanted = [sorted(item.answered) for item in items]
    labels = sorted({label for names in wanted for label in names})
    column = {label: u for u, label in enumerate(labels)}
    texts, scored = pieces.texts([item.words for item in items])
    asked = torch.zeros((len(items), len(labels)), dtype=torch.bool)
    for b, names in enumerate(wanted):
        asked[b, [column[name] for name in names]] = True
    device = model.bias.device
    packed = (type(part)(*(t.to(device) for t in part)) for part in (texts, pieces.labels(labels)))
    with torch.no_grad():
        rows = model(*packed, asked.to(device)).float().cpu().numpy()
    offset = 0
    for names, kept in zip(wanted, scored):
        yield rows[offset : offset + len(kept)][:, [column[name] for name in names]], names, kept
        offset += len(kept)


def save_model(model: PackedEncoder, tokenizer, path: Path) -> None:
    """Write `config.json`, `model.safetensors` and the tokenizer: what `init_from` reads."""
    model.config.metaie["architecture"] = type(model).__name__
    state = {name: t.detach().cpu().contiguous() for name, t in model.state_dict().items()}
    with replacing(path) as new:
        model.config.save_pretrained(new)
        tokenizer.save_pretrained(new)
        save_file(state, new / "model.safetensors")


def write_dev(path: Path, items: list[Item]) -> None:
    """The ids of the dev split, so that later stages hold the same texts out."""
    write_jsonl(path, ({"id": item.id} for item in items))


def log(output: Path, values: dict) -> None:
    """Append a line to `log.jsonl`."""
    with (output / "log.jsonl").open("a", encoding="utf8") as file:
        file.write(json.dumps(values) + "\n")
