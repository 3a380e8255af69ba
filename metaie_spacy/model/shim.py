"""Our thinc shim around the torch module: loading, saving, predicting, optimizing."""

import ctypes
import functools
import multiprocessing
import os
import tempfile
import threading
from collections import OrderedDict
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Callable, Iterator, NamedTuple, Sequence

import numpy as np
import srsly
import torch
from thinc.api import (
    ArgsKwargs,
    Optimizer,
    PyTorchGradScaler,
    PyTorchShim,
    get_torch_default_device,
    torch2xp,
    xp2torch,
)

from ..schema import check_threshold
from .adapters import Adapter, adapted, check_adapter
from .damage import damaged
from .defaults import CALIBRATED, ENCODER_NAMES, HEAD_SCALE
from .dtypes import converted, resolve_dtype
from .encoder import PackedEncoder
from .label_cache import LabelCache
from .links import Headed, Kept, Means
from .modules import rescale, uncalibrate
from .packed import Labels, LabelStates, Texts, moved
from .pieces import WordPieces, load_tokenizer
from .saved import Saved, filled, read_bytes, read_directory

TOKEN_SIDE = ("token_head.", "links.")  # begin the names of tensors that know another encoder's states
READY = 4  # adapters whose weights stand ready, some 40 MiB each; further ones are made again when they are asked
TRIM_EVERY = 2**13  # pieces read between two returns of freed memory: some 2 seconds of 2 CPU cores


class Reader(NamedTuple):
    """Weights, maybe with an adapter in them, the labels that they have encoded, and their copies by number format."""

    module: PackedEncoder
    labels: LabelCache
    twins: dict[str, PackedEncoder]


class MetaIEShim(PyTorchShim):
    """Carries a `PackedEncoder`, its tokenizer and the cache of its encoded labels.

    model_cls (type): the module's class, with `from_config` and `from_pretrained`.
    name (str): the encoder that training starts from. options (dict): of a fresh head.
    limits (dict): window, overlap, token_budget and label_budget, in pieces, and label_cache, in MiB.
        They are the config's and not saved with the weights, so that `spacy.load(..., config=...)`
        can change them.
    save_dtype (str): "float16" or "float32", the type of the saved weights; loading casts up.
    compute_dtype (str): what predictions are computed in, see `dtypes.resolve_dtype`.
    """

    def __init__(
        self,
        model_cls: type[PackedEncoder],
        name: str,
        options: dict,
        limits: dict[str, int],
        *,
        save_dtype: str,
        compute_dtype: str,
    ):
        super().__init__(None, grad_scaler=PyTorchGradScaler(enabled=False))
        self.model_cls, self.name, self.options, self.limits = model_cls, name, options, limits
        self.save_dtype, self.compute_dtype = save_dtype, compute_dtype
        self.tokenizer: Any = None
        self.pieces: WordPieces | None = None
        self.labels = LabelCache(limits["label_cache"] * 2**20)
        self._device = get_torch_default_device()  # of the thread that builds the pipeline; others may load
        self._read = 0  # pieces since memory was last returned
        self._twins: dict[str, PackedEncoder] = {}  # compute in other formats than the weights are kept in
        self.adapters: dict[str, Adapter] = {}
        self._adapted: OrderedDict[str, Reader] = OrderedDict()  # the last ones that were asked
        self._now = threading.local()  # which adapter this thread asks
        self.lock, self._pid = threading.RLock(), os.getpid()

    def __getstate__(self) -> dict:
        # For copies and for worker processes: a lock is no one else's, and labels are encoded anew.
        own = {"lock": None, "_now": None, "_twins": {}, "_adapted": OrderedDict()}
        return {**self.__dict__, **own, "labels": LabelCache(self.labels.max_bytes)}

    def __setstate__(self, state: dict) -> None:
        self.__dict__.update(state, lock=threading.RLock(), _now=threading.local(), _pid=os.getpid())

    @property
    def loaded(self) -> bool:
        return self._model is not None

    @property
    def module(self) -> PackedEncoder:
        """The weights; with the adapter in them that this thread asks. RAISES (ValueError): nothing is loaded yet."""
        if self._model is None:
            raise ValueError(
                "The metaie model has no weights yet. Set 'weights' to a package "
                "or directory, or call nlp.initialize()."
            )
        return self._reader().module

    @contextmanager
    def using(self, adapter: str | None) -> Iterator[None]:
        """A context in which this thread asks the weights with an adapter in them; None: as they are."""
        before = getattr(self._now, "adapter", None)
        self._now.adapter = adapter
        try:
            yield
        finally:
            self._now.adapter = before

    def _reader(self) -> Reader:
        """What this thread asks; weights with an adapter are made where they do not stand ready."""
        name = getattr(self._now, "adapter", None)
        if name is None:
            return Reader(self._model, self.labels, self._twins)
        with self.lock:
            if name not in self._adapted:
                check_adapter(self.adapters[name], self._model)  # they may have been trained since
                made = adapted(self._model, self.adapters[name])
                self._adapted[name] = Reader(made, LabelCache(self.labels.max_bytes), {})
            self._adapted.move_to_end(name)
            while len(self._adapted) > READY:
                self._adapted.popitem(last=False)
            return self._adapted[name]

    def add_adapter(self, name: str, adapter: Adapter) -> None:
        """Let it be asked by a name, in place of one that had it. RAISES (ValueError): it is of other weights."""
        check_adapter(adapter, self._model)
        with self.lock:
            self._adapted.pop(name, None)
            self.adapters[name] = adapter

    def remove_adapter(self, name: str) -> None:
        """RAISES (KeyError): there is none of this name."""
        with self.lock:
            del self.adapters[name]
            self._adapted.pop(name, None)

    def set_module(self, module: PackedEncoder, tokenizer) -> None:
        """Take over a module and its tokenizer."""
        module.config.metaie["architecture"] = type(module).__name__
        self.tokenizer, self.pieces = tokenizer, WordPieces(tokenizer)
        self.forget()
        self._model = module.to(self._device)  # last: from here on it counts as loaded

    def forget(self) -> None:
        """Drop what was derived from the weights: to be called after every change of them."""
        self.labels.clear()
        self._twins = {}
        self._adapted.clear()

    @property
    def predictor(self) -> PackedEncoder:
        """The module that reads texts: the weights themselves, or their copy in `compute_dtype`."""
        dtype = resolve_dtype(self.compute_dtype, self.device)
        if dtype == "float32":
            return self.module
        reader = self._reader()
        if dtype not in reader.twins:
            reader.twins[dtype] = converted(self.module, dtype)
        return reader.twins[dtype]

    def enter_process(self) -> None:
        """Settle in: to be called before work that may run in another process than the last.

        RAISES (ValueError): a worker of `nlp.pipe(n_process=...)` would use a GPU.
        """
        if is_pipe_worker():
            if self.loaded and self.device.type == "cuda":
                raise ValueError(
                    "nlp.pipe(..., n_process=2) cannot share a model on a GPU: CUDA "
                    "does not survive the fork, and copies "
                    "would fill its memory. Use n_process=1 and a larger token_budget in [components.metaie.model]."
                )
            torch.set_num_threads(1)  # the workers share the cores
        if self._pid != os.getpid():
            # A fork copies neither the threads of OpenMP, for which it would wait for ever, nor the holder of a lock.
            torch.set_num_threads(1)
            self.lock, self._pid = threading.RLock(), os.getpid()

    @property
    def threshold(self) -> float:
        """What the weights were calibrated to, 0.5 if they were not. RAISES (ValueError): it is not from 0 to 1."""
        return check_threshold(self.module.config.metaie.get("threshold", 0.5), "the threshold that the weights carry")

    @property
    def tag_threshold(self) -> float:
        """At which tokens are tagged before spans are dropped by their scores. RAISES (ValueError): as `threshold`."""
        return check_threshold(
            self.module.config.metaie.get("tag_threshold", 0.5), "the tag_threshold that the weights carry"
        )

    @property
    def binds(self) -> bool:
        """Whether the weights have a head pass, so that they can be asked about a span of a text."""
        return self.module.binds

    @property
    def is_trained(self) -> bool:
        """Whether the weights learned labels before, rather than an encoder's own under a fresh head."""
        options = self.module.config.metaie
        return bool(options.get("calibration") or options.get("label_counts"))

    def add_links(self, layer: int | None = None) -> None:
        """Give the weights a fresh head pass, unless they have one. layer (int | None): see `LabelToSpan.add_links`."""
        if not self.binds:
            with self.lock:
                self.module.add_links(layer)
                self.module.to(self.device)
                self.forget()

    @property
    def keeps_states(self) -> bool:
        """Whether what was read of a text for its labels serves the head pass too: where texts see no labels."""
        return self.binds and not self.module.options["text_sees_labels"]

    def keep_states(self, *, heads: bool = True, means: bool = False) -> Kept | None:
        """What takes the states of texts that one batch reads; None: nothing is wanted, or there is no head pass.

        heads (bool): states are wanted for heads. means (bool): so is the mean of each text's.
        """
        if not self.binds or not (heads or means):
            return None
        return Means(heads) if means else Kept()

    @property
    def link_calibration(self) -> dict[str, float] | None:
        """How a link's score is made of what it rests on, as `calibrate` found it; None: it was not."""
        return self.module.config.metaie.get("link_calibration")

    @link_calibration.setter
    def link_calibration(self, value: dict[str, float] | None) -> None:
        if value is None:
            self.module.config.metaie.pop("link_calibration", None)
        else:
            self.module.config.metaie["link_calibration"] = {key: float(number) for key, number in value.items()}

    @property
    def label_counts(self) -> dict[str, int]:
        """How often the training corpus had each frequent label; empty for weights that do not say."""
        return self.module.config.metaie.get("label_counts", {})

    def calibrate(self, temperature: float, bias: float, threshold: float, tag_threshold: float) -> None:
        """Make every logit `logit / temperature + bias`, and the thresholds the ones to decide by.

        `config.metaie` keeps the thresholds, and under "calibration" what the training's logits have
        gone through since: weights that are calibrated twice keep both as one.
        """
        options = self.module.config.metaie
        before = options.get("calibration", {"temperature": 1.0, "bias": 0.0})
        with self.lock:
            rescale(self.module, temperature, bias)
            self.link_calibration = None  # it goes by the scores of spans
            options["threshold"], options["tag_threshold"] = threshold, tag_threshold
            options["calibration"] = {
                "temperature": before["temperature"] * temperature,
                "bias": before["bias"] / temperature + bias,
            }
            self.forget()

    def uncalibrate(self) -> None:
        """Go back to the logits of the training, which pulls them there anyway, and away from the threshold."""
        with self.lock:
            uncalibrate(self.module)
            self.forget()

    def load_encoder(self) -> None:
        """Start from the encoder's published weights and a fresh head.

        RAISES (ValueError): there is no such encoder, or it is of an unsupported family.
        """
        try:
            tokenizer = load_tokenizer(self.name)
            pieces = WordPieces(tokenizer)
            ids = {"cls_id": pieces.cls_id, "sep_id": pieces.sep_id}
            module = self.model_cls.from_pretrained(self.name, self.options | ids)
        except OSError as error:
            raise ValueError(
                f"Cannot load the encoder '{self.name}': {str(error).splitlines()[0]} "
                "Give the name of a Hugging Face encoder or a directory that holds one."
            ) from error
        self.set_module(module, tokenizer)

    def load_directory(self, path: Path, *, labels_only: bool = False) -> None:
        """Load what `distill` saved: `config.json`, `model.safetensors` and the tokenizer.

        RAISES (ValueError): the directory is incomplete, damaged, or of another architecture.
        """
        missing = [name for name in ("config.json", "model.safetensors") if not (path / name).exists()]
        if missing:
            raise ValueError(f"'{path}' is no metaie model: it lacks {' and '.join(missing)}.")
        self.take(read_directory(path), labels_only=labels_only)

    def take(self, saved: Saved, *, labels_only: bool = False) -> None:
        """Fill the module. Only data is read, no pickle and no code: the source need not be trusted.

        RAISES (ValueError): the weights are damaged, or of another architecture; nothing is changed then.
        """
        labels_of_other = labels_only and saved.config.metaie["architecture"] == "LabelToSpan"
        done = None
        if labels_of_other:
            # The label encoder becomes this model's own: uncalibrated, and without the head for tokens.
            done = _drop_calibration(saved.config.metaie)
            saved.config.metaie.update(self._wanted())
        self._check_fit(saved)
        saved.config.metaie["dropout"] = self.options["dropout"]
        module = filled(self.model_cls, saved, without=TOKEN_SIDE if labels_of_other else None)
        if done:
            module.bias.data = (module.bias.data - done["bias"]) * done["temperature"]
        self.set_module(module, saved.tokenizer)

    def _wanted(self) -> dict[str, Any]:
        return {"architecture": self.model_cls.__name__, **self.options}

    def _check_fit(self, saved: Saved) -> None:
        """RAISES (ValueError): the weights are of another architecture than the config asks for."""
        found, wanted = saved.config.metaie, self._wanted()
        for key in ("architecture", "text_sees_labels"):
            # None: as the weights; a CrossEncoder has no text_sees_labels
            if wanted.get(key) not in (None, found.get(key)):
                raise ValueError(
                    f"The weights in {saved.source} have {key} = {found.get(key)}, "
                    f"but the config asks for {wanted[key]}. "
                    "Change [components.metaie.model] or 'weights', or train the component first."
                )

    def to_bytes(self) -> bytes:
        from safetensors.torch import save

        dtype = getattr(torch, self.save_dtype)
        state = {key: value.detach().to("cpu", dtype).contiguous() for key, value in self.module.state_dict().items()}
        with tempfile.TemporaryDirectory() as folder:
            self.tokenizer.save_pretrained(folder)
            self.module.config.save_pretrained(folder)
            files = {file.name: file.read_bytes() for file in sorted(Path(folder).iterdir())}
        return srsly.msgpack_dumps({"format": 1, "files": files, "state": save(state)})

    def from_bytes(self, bytes_data: bytes | memoryview) -> "MetaIEShim":
        """RAISES (ValueError): the bytes are no metaie model."""
        self.take(read_bytes(bytes_data, "the saved pipeline"))
        return self

    def predict(self, inputs: ArgsKwargs) -> torch.Tensor:
        """Logits of texts for labels given as strings, which are encoded at most once."""
        texts, labels, asked, *tap = inputs.args
        with self.lock, torch.inference_mode():
            self.module.eval()
            module = self.predictor
            states = self.encode_labels(labels)
            logits = module(moved(texts, self.device), states, None if asked is None else asked.to(self.device), *tap)
        finite(logits)
        self._count(int(texts.lengths[texts.heads.text].sum()) if isinstance(texts, Headed) else len(texts[0]))
        return logits

    def read(self, texts: Texts, tap: list[torch.Tensor] | None = None) -> torch.Tensor:
        """What texts that see no label are compared by, for `compare`, (W, 2 x head_width)."""
        with self.lock, torch.inference_mode():
            self.module.eval()
            vectors = self.predictor.read(moved(texts, self.device), tap)
        self._count(len(texts[0]))
        return vectors

    def compare(self, tokens: torch.Tensor, labels: torch.Tensor) -> np.ndarray:
        """Logits of the vectors of W tokens, (W, 2 x head_width), and of U labels, (U, 2, head_width): (W, U, 2)."""
        with self.lock, torch.inference_mode():
            logits = self.predictor.compare(tokens, labels)
        return finite(logits).cpu().numpy()

    def link_states(self, texts: Texts) -> torch.Tensor:
        """The states that the head pass starts from, (N, width)."""
        with self.lock, torch.inference_mode():
            self.module.eval()
            states = self.predictor.link_states(moved(texts, self.device))
        self._count(len(texts[0]))
        return states

    def _count(self, pieces: int) -> None:
        """Give memory back once in a while."""
        self._read += pieces
        if self._read > TRIM_EVERY:
            self._read = 0
            return_freed_memory()

    def check_trainable(self) -> None:
        """RAISES (ValueError): there are adapters, which fit no weights but these."""
        if self.adapters:
            raise ValueError(
                f"The adapters {', '.join(sorted(self.adapters))} belong to these weights as they are: remove them "
                "before you train the weights (remove_adapter), and make them anew."
            )

    def begin_update(self, inputs: ArgsKwargs) -> tuple[torch.Tensor, Callable]:
        self.check_trainable()
        self.forget()
        return super().begin_update(inputs)

    def label_vectors(self, labels: Sequence[str]) -> torch.Tensor:
        """What labels of weights whose texts see none are compared by, (U, 2, head_width)."""
        with self.lock, torch.inference_mode():
            self.module.eval()
            return self.encode_labels(labels).vectors

    def encode_labels(self, labels: Sequence[str]) -> LabelStates | Labels:
        """States of the labels, in their order, from the cache where it has them."""
        return self._reader().labels.get(labels, self._encode) if self.module.shares_labels else self._pack(labels)

    def _pack(self, labels: Sequence[str]) -> Labels:
        return moved(self.pieces.labels(labels), self.device)

    def _encode(self, labels: Sequence[str]) -> LabelStates:
        return self.module.encode_labels(self._pack(labels))  # once each: always in float32

    def finish_update(self, optimizer: Optimizer) -> None:
        """As thinc's, but clipped over all gradients at once, and with the head's own learning rate."""
        named = [(name, p) for name, p in self.module.named_parameters() if p.grad is not None]
        torch.nn.utils.clip_grad_norm_([p for _, p in named], optimizer.grad_clip or float("inf"))
        for name, parameter in named:
            weights, _ = optimizer(
                (self.id, name),
                torch2xp(parameter.data),
                torch2xp(parameter.grad),
                lr_scale=1.0 if name.startswith(ENCODER_NAMES) else HEAD_SCALE,
            )
            parameter.data = xp2torch(weights, requires_grad=True, device=parameter.device)
            parameter.grad = None
        self.forget()

    @contextmanager
    def use_params(self, params: dict[Any, Any]) -> Iterator[None]:
        """Swap in averaged weights, which thinc's optimizer keys by (shim id, name)."""
        names = [name for name, _ in self.module.named_parameters() if (self.id, name) in params]
        state = self.module.state_dict()
        kept = {name: state[name].clone() for name in names}
        self.module.load_state_dict({name: xp2torch(params[self.id, name]) for name in names}, strict=False)
        self.forget()
        try:
            yield
        finally:
            self.module.load_state_dict(kept, strict=False)
            self.forget()

    def to_device(self, device_type: str, device_id: int) -> None:
        self._device = torch.device("cpu" if device_type == "cpu" else f"cuda:{device_id}")
        if self.loaded:
            super().to_device(device_type, device_id)
            self.forget()


def finite(logits: torch.Tensor) -> torch.Tensor:
    """The logits. RAISES (ValueError): one of them is no number."""
    if not bool(torch.isfinite(logits.sum(dtype=torch.float64))):
        raise damaged("use", "its scores are no numbers, so that its weights cannot be right")
    return logits


@functools.cache
def _malloc_trim() -> Callable[[int], int] | None:
    try:
        return ctypes.CDLL(None).malloc_trim
    except (OSError, AttributeError, TypeError):  # not glibc
        return None


def return_freed_memory() -> None:
    """Give what was freed back to the system, where the C library is glibc.

    It keeps the gaps between tensors of ever new sizes for itself, so that the resident memory of a
    long run creeps up by half without a byte being in use.
    """
    trim = _malloc_trim()
    if trim is not None:
        trim(0)


def is_pipe_worker() -> bool:
    """Whether this process is a worker of `nlp.pipe(n_process=...)`."""
    target = getattr(multiprocessing.current_process(), "_target", None)
    return getattr(target, "__module__", None) == "spacy.language"


def _drop_calibration(options: dict) -> dict | None:
    """Drop the calibration of weights whose token head is not taken over. RETURNS (dict | None): what it was."""
    done = options.get("calibration")
    for key in (*CALIBRATED, "link_layer"):
        options.pop(key, None)
    return done
