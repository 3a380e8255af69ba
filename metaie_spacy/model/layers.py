"""The layers of the BERT family, under the names that published weights have for them.

Needs torch, and configs and activations of transformers. That library has the layers too, but with them come training
and generation, and with these `torch._dynamo` and scikit-learn: half of the time to a process's first answer.
"""

from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from transformers import PretrainedConfig
from transformers.activations import ACT2FN


class Unset(TorchFunctionMode):
    """A context in which new weights keep what memory held: to draw what is replaced takes as long as to read it.

    On torch's device "meta", which has no memory either, drawing imports `torch._dynamo`, seconds of it.
    """

    def __torch_function__(self, func, types, args=(), kwargs=None):
        is_drawing = getattr(func, "__module__", None) == "torch.nn.init"
        return None if is_drawing else func(*args, **(kwargs or {}))


class Encoder(nn.Module):
    """The parts of an encoder, which `encoder.run_layers` runs.

    config (PretrainedConfig): of one of `encoder.FAMILIES`.
    """

    def __init__(self, config: PretrainedConfig):
        super().__init__()
        self.embeddings = Embeddings(config)
        if self.embeddings.width != config.hidden_size:  # ELECTRA's may be narrower
            self.embeddings_project = nn.Linear(self.embeddings.width, config.hidden_size)
        layers = nn.ModuleList(Layer(config) for _ in range(config.num_hidden_layers))
        self.encoder = nn.ModuleDict({"layer": layers})


class Embeddings(nn.Module):
    """Of words and places; the first token type is that of all. width (int): of both."""

    def __init__(self, config: PretrainedConfig):
        super().__init__()
        self.width = getattr(config, "embedding_size", config.hidden_size)
        self.word_embeddings = nn.Embedding(config.vocab_size, self.width, padding_idx=config.pad_token_id)
        self.position_embeddings = nn.Embedding(config.max_position_embeddings, self.width)
        self.token_type_embeddings = nn.Embedding(config.type_vocab_size, self.width)
        self.LayerNorm = nn.LayerNorm(self.width, eps=config.layer_norm_eps)
        self.dropout = nn.Dropout(config.hidden_dropout_prob)

    def forward(self, words: Tensor, positions: Tensor) -> Tensor:
        """words (Tensor): (N, width). positions (Tensor): int64 (N,). RETURNS (Tensor): (N, width)."""
        x = words + self.token_type_embeddings.weight[0] + self.position_embeddings(positions)
        return self.dropout(self.LayerNorm(x))


class Layer(nn.Module):
    """Attention and what follows it."""

    def __init__(self, config: PretrainedConfig):
        super().__init__()
        self.attention = Attention(config)
        self.intermediate = Intermediate(config)
        self.output = Output(config.intermediate_size, config)


class Attention(nn.Module):
    """`self` makes queries, keys and values; `output` takes what was attended to."""

    def __init__(self, config: PretrainedConfig):
        super().__init__()
        hidden = config.hidden_size
        self.self = nn.ModuleDict({name: nn.Linear(hidden, hidden) for name in ("query", "key", "value")})
        self.output = Output(hidden, config)


class Intermediate(nn.Module):
    """The wide half of the feed-forward block."""

    def __init__(self, config: PretrainedConfig):
        super().__init__()
        self.dense = nn.Linear(config.hidden_size, config.intermediate_size)
        self.activation = ACT2FN[config.hidden_act]

    def forward(self, x: Tensor) -> Tensor:
        return self.activation(self.dense(x))


class Output(nn.Module):
    """What a block adds to its input, normalized. width (int): of what comes out of the block."""

    def __init__(self, width: int, config: PretrainedConfig):
        super().__init__()
        self.dense = nn.Linear(width, config.hidden_size)
        self.LayerNorm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.dropout = nn.Dropout(config.hidden_dropout_prob)

    def forward(self, x: Tensor, before: Tensor) -> Tensor:
        return self.LayerNorm(self.dropout(self.dense(x)) + before)
