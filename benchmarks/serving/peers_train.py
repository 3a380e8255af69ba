"""Train or make one contender of peers.py, in its own environment, for a number of minutes.

    python benchmarks/serving/peers_train.py SETTINGS

SETTINGS: JSON, {"what", "encoder", "data", "output", "minutes", "rate", "threads", "probes", "seed"}. Minutes are of the
process's CPU time, so that others on the machine cost nobody anything. How many steps they are is found by some steps
before, so that the learning rate can fall to 0; what it took in the end is noted in OUTPUT/train.json. A training that
was stopped begins again.
"""

import json
import random
import shutil
import sys
import tempfile
import time
from pathlib import Path


def steps_for(settings: dict, run) -> tuple[int, float]:
    """Steps that fit the minutes, and CPU seconds of one; run (Callable): takes a number of steps. The first run warms."""
    few, more = settings["probes"]
    run(few)
    began = time.process_time()
    run(more)
    seconds = (time.process_time() - began) / more
    return max(1, round(settings["minutes"] * 60 / seconds)), seconds


def noted(steps: int, expected: float, began: float) -> dict:
    return {"steps": steps, "cpu_minutes": (time.process_time() - began) / 60, "expected_seconds_a_step": expected}


def trained(settings: dict, made, train) -> dict:
    """Train a model for the minutes and save it; made (Callable): gives a new one, train (Callable): takes one and steps."""
    trial = made()
    steps, expected = steps_for(settings, lambda steps: train(trial, steps))
    began, model = time.process_time(), made()
    train(model, steps)
    result = noted(steps, expected, began)
    model.save_pretrained(str(Path(settings["output"]) / "model"))
    return result


def rows_in(path: str) -> list[dict]:
    with Path(path).open(encoding="utf8") as lines:
        return [json.loads(line) for line in lines]


def ours(settings: dict) -> dict:
    """`distill` with its defaults, but for steps and rate; its weights as a pipeline."""
    import spacy

    from metaie_spacy.data.items import blank_tokenizer
    from metaie_spacy.model.weights import architecture_of
    from metaie_spacy.train import distill

    corpus, tokenize = {settings["data"]: 1.0}, blank_tokenizer()
    chosen = {"encoder": settings["encoder"], "lr": settings["rate"], "seed": settings["seed"]}
    with tempfile.TemporaryDirectory() as folder:
        probes = distill.Settings(**chosen, steps=sum(settings["probes"]))
        trial = distill.prepare(corpus, Path(folder), probes, tokenize, None)
        trial.save, trial.steps = lambda path: None, 0

        def run(steps: int) -> None:
            trial.steps += steps
            distill.train(trial, Path(folder), 10**9)

        steps, expected = steps_for(settings, run)
    output, began = Path(settings["output"]), time.process_time()
    distill.distill(
        corpus, output / "run", distill.Settings(**chosen, steps=steps), tokenize=tokenize, save_every=10**9
    )
    result = noted(steps, expected, began)
    shutil.rmtree(output / "run" / "checkpoint", ignore_errors=True)
    nlp = spacy.blank("en")
    weights = str(output / "run" / "model")
    nlp.add_pipe(
        "metaie", config={"weights": weights, "model": architecture_of(weights) | {"name": settings["encoder"]}}
    )
    nlp.to_disk(output / "model")
    return result


def cross(settings: dict) -> dict:
    """A CrossEncoder with the encoder weights of ours, and an untrained head."""
    import spacy

    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
    from benchmarks.serving.speed import cross_encoder_of

    nlp = spacy.load(settings["data"])
    nlp.get_pipe("metaie").load()
    cross_encoder_of(nlp).to_disk(Path(settings["output"]) / "model")
    return {}


def gliner(settings: dict, **options) -> dict:
    """gliner's own trainer with the settings of its own example (configs/config_span.yaml), but for steps and rates."""
    import torch
    from gliner import GLiNER, GLiNERConfig
    from transformers import AutoConfig

    rows = json.loads(Path(settings["data"]).read_text(encoding="utf8"))
    width = AutoConfig.from_pretrained(settings["encoder"], local_files_only=True).hidden_size

    def made():
        random.seed(settings["seed"])
        torch.manual_seed(settings["seed"])
        config = GLiNERConfig(
            model_name=settings["encoder"], hidden_size=width, max_width=12, dropout=0.3, max_types=100, max_len=512, **options
        )  # fmt: skip
        return GLiNER.from_config(config)

    def train(model, steps: int) -> None:
        with tempfile.TemporaryDirectory() as folder:
            model.train_model(
                rows, None, output_dir=folder, max_steps=steps, learning_rate=settings["rate"], others_lr=settings["rate"] * 3,
                weight_decay=0.1, others_weight_decay=0.01, focal_loss_alpha=0.75, focal_loss_gamma=0.0, max_grad_norm=10.0,
                lr_scheduler_type="cosine", warmup_ratio=0.05, per_device_train_batch_size=8, save_strategy="no",
                use_cpu=True, dataloader_num_workers=0, seed=settings["seed"],
            )  # fmt: skip

    return trained(settings, made, train)


def gliner_bi(settings: dict) -> dict:
    return gliner(settings, labels_encoder=settings["encoder"])


def gliner2(settings: dict) -> dict:
    """gliner2's own trainer and its span architecture, with its defaults, but for steps, rates, batch and float32."""
    import torch
    from gliner2 import AutoExtractor, ExtractorConfig
    from gliner2.training.trainer import ExtractorTrainer, TrainingConfig

    rows = rows_in(settings["data"])

    def made():
        torch.manual_seed(settings["seed"])
        return AutoExtractor.from_config(ExtractorConfig(model_name=settings["encoder"], max_width=12))

    def train(model, steps: int) -> None:
        with tempfile.TemporaryDirectory() as folder:
            config = TrainingConfig(
                output_dir=folder, max_steps=steps, batch_size=8, encoder_lr=settings["rate"], task_lr=settings["rate"] * 3,
                fp16=False, bf16=False, eval_strategy="no", num_workers=0, pin_memory=False, logging_steps=50,
                validate_data=False, seed=settings["seed"],
            )  # fmt: skip
            ExtractorTrainer(model, config).train(train_data=rows)

    return trained(settings, made, train)


def spacy_examples(nlp, path: str) -> list:
    """The rows as examples, with entities and with the spans of a SpanCategorizer."""
    from spacy.training import Example
    from spacy.util import filter_spans

    examples = []
    for row in rows_in(path):
        doc = nlp.make_doc(row["text"])
        spans = [doc.char_span(span["start"], span["end"], span["label"]) for span in row["spans"]]
        spans = [span for span in spans if span is not None]
        doc.spans["sc"], doc.ents = spans, filter_spans(spans)
        examples.append(Example(nlp.make_doc(row["text"]), doc))
    return examples


def spacy_pipeline(settings: dict, nlp) -> dict:
    """Train a pipeline on its rows for the minutes."""
    import spacy

    examples = spacy_examples(nlp, settings["data"])
    optimizer = nlp.initialize(lambda: examples)
    began, steps, rng = time.process_time(), 0, random.Random(settings["seed"])
    while time.process_time() - began < settings["minutes"] * 60 or not steps:
        for batch in spacy.util.minibatch(rng.sample(examples, len(examples)), 8):
            nlp.update(batch, sgd=optimizer)
            steps += 1
            if time.process_time() - began >= settings["minutes"] * 60:
                break
    nlp.to_disk(Path(settings["output"]) / "model")
    return {
        "steps": steps,
        "cpu_minutes": (time.process_time() - began) / 60,
        "labels": len(nlp.get_pipe(nlp.pipe_names[-1]).labels),
    }


def ner(settings: dict) -> dict:
    import spacy

    nlp = spacy.blank("en")
    nlp.add_pipe("ner")
    return spacy_pipeline(settings, nlp)


def spancat(settings: dict) -> dict:
    """spaCy's SpanCategorizer, as its quickstart for GPUs has it, on the encoder."""
    import spacy

    nlp = spacy.blank("en")
    nlp.add_pipe("transformer", config={"model": {
        "@architectures": "spacy-transformers.TransformerModel.v3", "name": settings["encoder"], "tokenizer_config": {"use_fast": True},
        "get_spans": {"@span_getters": "spacy-transformers.strided_spans.v1", "window": 128, "stride": 96},
    }})  # fmt: skip
    nlp.add_pipe("spancat", config={"model": {
        "@architectures": "spacy.SpanCategorizer.v1", "scorer": {"@layers": "spacy.LinearLogistic.v1", "nO": None, "nI": None},
        "reducer": {"@layers": "spacy.mean_max_reducer.v1", "hidden_size": 128},
        "tok2vec": {"@architectures": "spacy-transformers.TransformerListener.v1", "grad_factor": 1.0, "pooling": {"@layers": "reduce_mean.v1"}, "upstream": "*"},
    }})  # fmt: skip
    return spacy_pipeline(settings, nlp)


WHAT = {
    "ours": ours, "cross": cross, "gliner_uni": gliner, "gliner_bi": gliner_bi, "gliner2": gliner2, "ner": ner, "spancat": spancat,
}  # fmt: skip


def main() -> None:
    import torch

    settings = json.loads(Path(sys.argv[1]).read_text(encoding="utf8"))
    torch.set_num_threads(settings["threads"])
    Path(settings["output"]).mkdir(parents=True, exist_ok=True)
    result = WHAT[settings["what"]](settings)
    kept = {key: settings[key] for key in ("minutes", "rate", "seed", "threads")}
    (Path(settings["output"]) / "train.json").write_text(json.dumps(kept | result), encoding="utf8")


if __name__ == "__main__":
    main()
