"""The tok2vec of a SharedTransformer among saved weights: of a foreign one only tensors are taken."""

import io
import pickletools
import sys
import zipfile
from typing import Any, NamedTuple, Sequence

import numpy as np
import torch
from spacy.tokens import Doc
from thinc.api import Model, PyTorchShim

from .damage import reading, shown
from .message import Message, array_of, read_message
from .tensors import check_finite

# What torch.save writes of a state dict names nothing else than these and the types of its storages.
PICKLED = (
    "collections OrderedDict",
    "torch._utils _rebuild_tensor_v2",
    "torch._utils _rebuild_parameter",
    *(f"torch {kind}Storage" for kind in ("Float", "Half", "BFloat16", "Double", "Long", "Int", "Bool")),
)
CODE_KEYS = ("auto_map", "custom_pipelines", "quantization_config")  # of a transformer's config: they name code
MOST_PICKLE = 16 * 2**20  # bytes of the part that names the tensors; a large encoder has 60 kB


class Tensors(NamedTuple):
    """Tensors that fit a tok2vec. arrays (list): (node, name, array). states (list): (module, tensors by name)."""

    arrays: list[tuple[Model, str, np.ndarray]]
    states: list[tuple[torch.nn.Module, dict[str, torch.Tensor]]]

    def put(self, model: Model) -> None:
        """Make them those of the model's tok2vec."""
        for node, name, array in self.arrays:
            node.set_param(name, node.ops.asarray(array))
        for module, state in self.states:
            module.load_state_dict(state, strict=False)
        for node in model.walk():
            if is_spacy_transformers(node, "TransformerListener") and node.has_dim("nO") is None:
                node.set_dim("nO", model.shims[0].module.token_width)


def tok2vec_tensors(model: Model, message: Message, source: str, sample: Sequence[Doc] | None) -> Tensors:
    """The tensors for a tok2vec that the model's own config describes; nothing else of the message is looked at.

    RAISES (ValueError): the message is damaged, or of another tok2vec.
    """
    _initialize(model, sample)
    nodes = list(model.walk())
    with reading(source):
        if len(nodes) != len(message.nodes):
            raise ValueError("its tok2vec is of another architecture than the one of [components.metaie.model]")
        found = Tensors([], [])
        for number, node in enumerate(nodes[1:], 1):
            for name in node.param_names:
                if node.has_param(name):
                    value = message.params[number].get(name)
                    found.arrays.append((node, name, _array(value, name, node.get_param(name).shape)))
            if len(node.shims) != len(message.shims[number]):
                raise ValueError("its tok2vec is of another architecture than the one of [components.metaie.model]")
            for shim, content in zip(node.shims, message.shims[number]):
                found.states.append((shim._model, _state(shim, content)))
        return found


def _initialize(model: Model, sample: Sequence[Doc] | None) -> None:
    """Build the tok2vec by the user's own config, if that has not been done.

    RAISES (ValueError): it cannot be built.
    """
    tok2vec = model.get_ref("tok2vec")
    nodes = list(tok2vec.walk())
    if all(node.has_param(name) is not None for node in nodes for name in node.param_names) and all(
        getattr(shim, "_model", None) is not None for node in nodes for shim in node.shims
    ):
        return
    try:
        tok2vec.initialize(X=list(sample) if sample else None)
    except OSError as error:
        raise ValueError(
            f"The tok2vec of [components.metaie.model] cannot be built: {shown(error)} Its weights are taken from "
            "'weights', but what it is comes from the config."
        ) from error


def _array(value: Any, name: str, shape: tuple[int, ...]) -> np.ndarray:
    array = array_of(value)
    if array.shape != tuple(shape):
        raise ValueError(f"the tok2vec's {name} has the shape {array.shape}, but the config asks for {tuple(shape)}")
    check_finite(f"the tok2vec's {name}", torch.from_numpy(array))
    return array


def _state(shim: Any, content: memoryview) -> dict[str, torch.Tensor]:
    """The weights of a torch module in the tok2vec. RAISES (ValueError): they do not fit it."""
    if not isinstance(shim, PyTorchShim):
        raise ValueError(f"its tok2vec holds a {type(shim).__name__}; only those of thinc and torch can be taken over")
    own = {name: value for name, value in shim._model.state_dict().items() if value.is_floating_point()}
    found = torch_state(content)
    found = {name: value for name, value in found.items() if value.is_floating_point()}
    odd = sorted(own.keys() ^ found.keys()) or [name for name in own if own[name].shape != found[name].shape]
    if odd:
        raise ValueError(f"its tok2vec has other weights than the config asks for: {odd[0]}")
    for name, value in found.items():
        check_finite(name, value)
    return found


def torch_state(content: memoryview) -> dict[str, torch.Tensor]:
    """The state dict in a saved shim, read as data. RAISES (ValueError): it is none, or a cut one."""
    message = read_message(content)
    data = message.get("state") if isinstance(message, dict) else None
    if not isinstance(data, memoryview):
        raise ValueError("the tok2vec's message has no weights")
    check_archive(data)
    state = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    if not isinstance(state, dict) or not all(
        isinstance(name, str) and isinstance(value, torch.Tensor) and value.layout is torch.strided
        for name, value in state.items()
    ):
        raise ValueError("the tok2vec's weights are no tensors by name")
    return dict(state)


def check_archive(data: memoryview) -> None:
    """RAISES (ValueError): it is not what torch.save writes, or would take more memory than it has bytes."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        entries = archive.infolist()
        if any(entry.compress_type != zipfile.ZIP_STORED for entry in entries):
            raise ValueError("the tok2vec's weights are compressed, which torch.save does not do")
        if sum(entry.file_size for entry in entries) > len(data):
            raise ValueError("the tok2vec's weights claim to be larger than they are")
        names = [entry for entry in entries if entry.filename.endswith("/data.pkl")]
        if len(names) != 1 or names[0].file_size > MOST_PICKLE:
            raise ValueError("the tok2vec's weights are no state dict")
        for code, argument, _ in pickletools.genops(archive.read(names[0])):
            if (code.name == "GLOBAL" and argument not in PICKLED) or code.name in (
                "STACK_GLOBAL",
                "INST",
                "OBJ",
                "NEWOBJ",
            ):
                raise ValueError(f"the tok2vec's weights name {shown(argument or code.name)}, which no tensor needs")


def restore_tok2vec(model: Model, message: Message, source: str, sample: Sequence[Doc]) -> None:
    """Restore a model with a tok2vec by thinc's means, once its message holds nothing that thinc would not write.

    RAISES (ValueError): it does, or does not fit the model.
    """
    with reading(source):
        nodes = list(model.walk())
        if len(nodes) != len(message.nodes):
            raise ValueError("it is of another architecture than the one of [components.metaie.model]")
        check_message(nodes, message)
        values: dict[str, list] = {
            "nodes": message.nodes,
            "attrs": [{}, *({key: bytes(value) for key, value in part.items()} for part in message.attrs[1:])],
            "params": [
                {name: None if value is None else array_of(value) for name, value in part.items()}
                for part in message.params
            ],
            "shims": [[bytes(shim) for shim in shims] for shims in message.shims],
        }
        for part in values["params"]:
            for name, value in part.items():
                if value is not None:
                    check_finite(f"the tok2vec's {name}", torch.from_numpy(value))
        needs_vectors = any("static_vectors" in node.name for node in nodes)  # which may be loaded later
        model.from_dict(values)
        if not needs_vectors:
            _try_out(model, sample)


def _try_out(model: Model, sample: Sequence[Doc]) -> None:
    """Let a tok2vec read something. RAISES (Exception): it cannot, or gives vectors that the head cannot take."""
    tok2vec, width = model.get_ref("tok2vec"), model.shims[0].module.config.metaie.get("token_width")
    if any(node.param_names or node.shims for node in tok2vec.walk()):  # else it listens to another component
        vectors = tok2vec.predict(list(sample))[0]
        if vectors.shape != (len(sample[0]), width):
            raise ValueError(f"its tok2vec gives vectors of the shape {vectors.shape}, the head takes {width}")
        check_finite("a vector of the tok2vec", torch.from_numpy(np.asarray(model.ops.to_numpy(vectors))))


def check_message(nodes: Sequence[Model], message: Message) -> None:
    """RAISES (ValueError): the message of a tok2vec holds what neither thinc nor spacy-transformers writes."""
    for node, attrs, shims in zip(nodes, message.attrs, message.shims):
        if len(shims) != len(node.shims):
            raise ValueError("it is of another architecture than the one of [components.metaie.model]")
        for value in attrs.values():
            read_message(value)  # thinc's reader makes room for whatever a message announces
        for shim, content in zip(node.shims, shims):
            if is_spacy_transformers(shim, "HFShim") and node is not nodes[0]:
                check_transformer(content)


def is_spacy_transformers(thing: Any, name: str) -> bool:
    """Whether it is of a class of spacy-transformers, which is not imported for that: with transformers 5 it fails."""
    layers = sys.modules.get("spacy_transformers.layers")
    place = getattr(layers, "hf_shim", None) if name == "HFShim" else layers
    return place is not None and isinstance(thing, getattr(place, name))


def check_transformer(content: memoryview) -> None:
    """RAISES (ValueError): a transformer's message names code, or files that are not its tokenizer's own."""
    message = read_message(content)
    config, tokenizer = (message.get(key) for key in ("config", "tokenizer")) if isinstance(message, dict) else ("", "")
    if not isinstance(config, dict) or not isinstance(tokenizer, dict):
        raise ValueError("the tok2vec's message has no transformer")
    code = [key for key in config if key in CODE_KEYS or key.endswith(("attn_implementation", "_internal"))]
    if any(config[key] is not None for key in code):
        raise ValueError(f"the tok2vec's config names code: {shown(code[0])}")
    kwargs = tokenizer.get("kwargs", {})
    if not isinstance(kwargs, dict) or not kwargs.keys() <= {"use_fast"}:
        raise ValueError("the tok2vec's tokenizer has settings that spacy-transformers does not write")
    for name in tokenizer.keys() - {"kwargs"}:
        if name != name.replace("\\", "/").split("/")[-1] or name in ("", ".", "..") or name.endswith(".py"):
            raise ValueError(f"the tok2vec's tokenizer has a file of the name {shown(repr(name))}")
    if message.get("state"):
        check_archive(message["state"])
