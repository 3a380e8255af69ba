"""Corpus -> weights: a plain torch loop on accelerate with exact resume (torch and transformers only)."""
import json
import logging
import os
import random
import shutil
import time
from pathlib import Path
from typing import Callable, Iterator, Mapping

import numpy as np
import torch
from tqdm import tqdm

from .corpus import Item, read_items, split_dev
from .encoder import CrossEncoder, LabelToSpan, PackedEncoder
from .pieces import WordPieces, load_tokenizer
from .spans import PRF, decode, exact_matches
from .training import LabelSpace, open_batch, parameter_groups, tagging_loss

logger = logging.getLogger("metaie_spacy")

ARCHITECTURES = {"LabelToSpan": LabelToSpan, "CrossEncoder": CrossEncoder}
BUCKET = 64  # batches whose texts are sorted by length together


def distill(
    corpus: Mapping[str | Path, float],
    output: str | Path,
    *,
    encoder: str,
    tokenize: Callable[[str], list[tuple[int, int]]],
    architecture: str = "LabelToSpan",
    text_sees_labels: bool = True,
    epochs: float = 4,
    batch_size: int = 16,
    lr: float = 2e-4,
    head_scale: float = 8.0,
    weight_decay: float = 0.01,
    warmup: float = 0.1,
    o_weight: float = 0.25,
    dropout: float = 0.1,
    ema: float = 0.998,
    dev_share: float = 0.1,
    seed: int = 0,
    save_every: int = 250,
    mixed_precision: str = "no",
) -> dict:
    """Train an open-label model on annotation rows; a second call with the same arguments resumes.

    corpus (Mapping): annotation file -> times it is seen in an epoch (0.5: another half each epoch).
    output (Path): takes `model/` (what `init_from` reads), `checkpoint/`, `log.jsonl`, `dev.jsonl`,
        `settings.json`.
    encoder (str): a Hugging Face name or directory.
    tokenize (Callable): text -> character offsets of its tokens.
    epochs (float): passes over the corpus. lr (float): of the encoder, head at `lr * head_scale`.
    ema (float): decay of the averaged weights, which are what is saved; 0 turns it off.
    dev_share (float): share of the documents that is never trained on.
    mixed_precision (str): "no", "bf16" or "fp16", as in accelerate.
    RETURNS (dict): steps, seconds, loss, and precision, recall and F on the dev split.
    RAISES (ValueError): a bad corpus row, or `output` holds a run with other settings.
    """
    from accelerate import Accelerator
    from accelerate.utils import set_seed

    settings = {key: value for key, value in locals().items() if key not in ("tokenize", "output", "corpus", "Accelerator", "set_seed", "save_every")}
    settings["corpus"] = {str(path): weight for path, weight in corpus.items()}
    output = Path(output)
    start_run(output, settings)
    set_seed(seed)
    accelerator = Accelerator(mixed_precision=mixed_precision)
    parts = [(read_items(path, tokenize), weight) for path, weight in corpus.items()]
    splits = [(*split_dev(items, dev_share, seed), weight) for items, weight in parts]
    train, dev = [(kept, weight) for kept, _, weight in splits], [item for _, held, _ in splits for item in held]
    pieces = WordPieces(load_tokenizer(encoder))
    options = model_options(pieces, text_sees_labels=text_sees_labels, dropout=dropout)
    model = ARCHITECTURES[architecture].from_pretrained(encoder, options).to(accelerator.device)
    space = LabelSpace([item for items, _ in train for item in items])
    space.embed(model, pieces, seed=seed)

    steps = sum(len(items) * weight for items, weight in train) * epochs / batch_size / accelerator.num_processes
    steps = max(1, round(steps))
    optimizer = torch.optim.AdamW(parameter_groups(model, lr, head_scale, weight_decay), fused=True)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: ramp(step, steps, warmup))
    wrapped, optimizer, schedule = accelerator.prepare(model, optimizer, schedule)
    average = Average(model, ema)
    progress = Progress()
    accelerator.register_for_checkpointing(average, progress)
    if (output / "checkpoint").exists():
        accelerator.load_state(output / "checkpoint")
        logger.info("Resuming at step %d of %d.", progress.step, steps)
    batches = batch_stream(train, batch_size, seed, accelerator.process_index, accelerator.num_processes)
    bar = tqdm(total=steps, initial=progress.step, desc="distill", unit="step", mininterval=5)
    began = time.perf_counter()
    for step, (epoch, items) in enumerate(batches):
        if step >= steps:
            break
        if step < progress.step:
            continue
        rng = random.Random(f"{seed}:{step}:{accelerator.process_index}")
        batch = open_batch(items, pieces, space, rng).to(accelerator.device)
        wrapped.train()
        with accelerator.autocast():
            loss = tagging_loss(wrapped(batch.texts, batch.labels, batch.asked), batch, o_weight)
        accelerator.backward(loss)
        accelerator.clip_grad_norm_(wrapped.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
        average.update(model)
        progress.count(loss.item(), time.perf_counter() - began)
        began = time.perf_counter()
        bar.update()
        if progress.step % 50 == 0 and accelerator.is_main_process:
            report(output, bar, {"step": progress.step, "epoch": epoch, "loss": progress.mean(50), "seconds": progress.seconds})
        if (progress.step % save_every == 0 or progress.step == steps) and accelerator.is_main_process:
            save_checkpoint(accelerator, output)
    bar.close()
    average.copy_to(model)
    scores = dev_scores(model, pieces, dev)
    result = {"steps": steps, "seconds": round(progress.seconds), "loss": progress.mean(200), "dev_texts": len(dev)}
    result |= {"dev_p": scores.precision, "dev_r": scores.recall, "dev_f": scores.fscore}
    if accelerator.is_main_process:
        save_model(model, pieces.tokenizer, output / "model")
        write_dev(output / "dev.jsonl", dev)
        report(output, bar, result)
    return result


def model_options(pieces: WordPieces, *, text_sees_labels: bool = True, dropout: float = 0.1) -> dict:
    """`config.metaie`: everything that rebuilds the head."""
    return {
        "text_sees_labels": text_sees_labels, "head_inner": 512, "head_width": 256, "dropout": dropout,
        "cls_id": pieces.cls_id, "sep_id": pieces.sep_id,
    }  # fmt: skip


def start_run(output: Path, settings: dict) -> None:
    """Note the settings of a new run, or check that they are those of the run to resume.

    RAISES (ValueError): `output` was begun with other settings.
    """
    output.mkdir(parents=True, exist_ok=True)
    path = output / "settings.json"
    text = json.dumps(settings, indent=1, sort_keys=True)
    if path.exists() and path.read_text(encoding="utf8") != text:
        raise ValueError(f"'{output}' holds a run with other settings ({path}). Give another output directory.")
    path.write_text(text, encoding="utf8")


def ramp(step: int, steps: int, warmup: float) -> float:
    """Linear warm-up over a share of the steps, then linear decay to 0."""
    rise = max(1, round(steps * warmup))
    return (step + 1) / rise if step < rise else max(0.0, (steps - step) / max(1, steps - rise))


class Average:
    """Exponential moving average of a module's parameters.

    decay (float): share kept at each step, reached after a start of plain averaging.
    """

    def __init__(self, model: PackedEncoder, decay: float):
        self.decay, self.steps = decay, 0
        self.values = [p.detach().clone() for p in model.parameters()] if decay else []

    def update(self, model: PackedEncoder) -> None:
        self.steps += 1
        if self.values:
            keep = min(self.decay, self.steps / (self.steps + 10))
            torch._foreach_lerp_(self.values, [p.detach() for p in model.parameters()], 1 - keep)

    def copy_to(self, model: PackedEncoder) -> None:
        with torch.no_grad():
            for parameter, value in zip(model.parameters(), self.values):
                parameter.copy_(value)

    def state_dict(self) -> dict:
        return {"values": self.values, "steps": self.steps}

    def load_state_dict(self, state: dict) -> None:
        self.steps = state["steps"]
        for own, saved in zip(self.values, state["values"]):
            own.copy_(saved)


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


def dev_scores(model: PackedEncoder, pieces: WordPieces, items: list[Item], *, batch_size: int = 16) -> PRF:
    """Exact-match scores when each text is asked its own and its absent labels."""
    model.eval()
    gold, predicted = [], []
    ordered = sorted(items, key=lambda item: len(item.words))
    with torch.no_grad():
        for start in tqdm(range(0, len(ordered), batch_size), desc="dev", mininterval=5):
            for item in ordered[start : start + batch_size]:
                gold.append({tuple(span) for span in item.spans})
            predicted += predict_items(model, pieces, ordered[start : start + batch_size])
    return exact_matches(gold, predicted)


def predict_items(model: PackedEncoder, pieces: WordPieces, items: list[Item]) -> list[set]:
    """Spans at threshold 0.5 as sets of (start, end, label)."""
    wanted = [sorted({label for _, _, label in item.spans} | set(item.absent)) for item in items]
    labels = sorted({label for labels in wanted for label in labels})
    if not labels:
        return [set() for _ in items]
    column = {label: u for u, label in enumerate(labels)}
    texts, scored = pieces.texts([item.words for item in items])
    asked = torch.zeros((len(items), len(labels)), dtype=torch.bool)
    for b, names in enumerate(wanted):
        asked[b, [column[name] for name in names]] = True
    device = model.bias.device
    packed = pieces.labels(labels)
    logits = model(
        type(texts)(*(t.to(device) for t in texts)), type(packed)(*(t.to(device) for t in packed)), asked.to(device)
    )
    rows = logits.float().cpu().numpy()
    found, offset = [], 0
    for names, kept in zip(wanted, scored):
        part = rows[offset : offset + len(kept)][:, [column[name] for name in names]]
        offset += len(kept)
        answers = decode(part, names, np.full(len(names), 0.5), kept)
        found.append({(a.start, a.end, a.label) for a in answers})
    return found


def save_checkpoint(accelerator, output: Path) -> None:
    """Replace `checkpoint/` in one step: a run killed here loses nothing."""
    new, old = output / "checkpoint.new", output / "checkpoint.old"
    shutil.rmtree(new, ignore_errors=True)
    accelerator.save_state(new)
    if (output / "checkpoint").exists():
        shutil.rmtree(old, ignore_errors=True)
        os.replace(output / "checkpoint", old)
    os.replace(new, output / "checkpoint")
    shutil.rmtree(old, ignore_errors=True)


def save_model(model: PackedEncoder, tokenizer, path: Path) -> None:
    """Write `config.json`, `model.safetensors` and the tokenizer: what `init_from` reads."""
    from safetensors.torch import save_file

    new = path.with_name(path.name + ".new")
    shutil.rmtree(new, ignore_errors=True)
    model.config.metaie["architecture"] = type(model).__name__
    model.config.save_pretrained(new)
    tokenizer.save_pretrained(new)
    save_file({name: t.detach().cpu().contiguous() for name, t in model.state_dict().items()}, new / "model.safetensors")
    shutil.rmtree(path, ignore_errors=True)
    os.replace(new, path)


def write_dev(path: Path, items: list[Item]) -> None:
    """The ids of the dev split, so that later stages hold the same texts out."""
    lines = [json.dumps({"id": item.id}) for item in items]
    path.with_suffix(".new").write_text("\n".join(lines) + "\n", encoding="utf8")
    os.replace(path.with_suffix(".new"), path)


def report(output: Path, bar, values: dict) -> None:
    """Append a line to `log.jsonl` and show the loss."""
    with (output / "log.jsonl").open("a", encoding="utf8") as file:
        file.write(json.dumps(values) + "\n")
    bar.set_postfix_str(f"loss {values['loss']:.3f}")
