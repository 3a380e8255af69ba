"""An encoder of the BERT family on packed pieces, with keys and values of labels in front (see modules.py).

Needs torch and transformers only. Sequences travel PACKED: the pieces of all sequences of a batch
stand in one (N,) tensor beside their lengths, so that linear layers, nine tenths of the work, never
touch padding; only attention unfolds them into rows of equal length.
"""

import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention
from transformers import AutoConfig, PretrainedConfig, __version__

from .defaults import TEXT_SEES_LABELS
from .layers import Encoder, Unset
from .packed import Labels, Picked, Unfolded
from .pieces import N_SHAPES

FAMILIES = ("bert", "electra", "roberta", "xlm-roberta", "camembert")
# transformers 4.56 renamed the argument
DTYPE = "dtype" if tuple(map(int, __version__.split(".")[:2])) >= (4, 56) else "torch_dtype"
FLOAT32 = {DTYPE: torch.float32}
POSITION_OFFSET = ("roberta", "xlm-roberta", "camembert")  # their position 0 is padding_idx + 1


class PackedEncoder(nn.Module):
    """A pre-trained encoder of the BERT family that runs on packed pieces, with our input vectors.

    config (PretrainedConfig): the encoder's config; `config.metaie` holds every option of ours, so
        that a saved config alone rebuilds the module.
    RAISES (ValueError): the encoder's family is not supported.
    """

    shares_labels: bool  # whether an encoded label serves all texts, so that it is worth keeping

    def __init__(self, config: PretrainedConfig):
        super().__init__()
        check_family(config)
        config.attention_probs_dropout_prob = 0.0  # dropout there leaves the fast path: 3x slower
        config.hidden_dropout_prob = config.metaie["dropout"]
        self.config = config
        self.options = config.metaie
        with Unset():  # published or saved weights come in any case
            self.encoder = Encoder(config)
        width = self.encoder.embeddings.width
        self.shape = nn.Embedding(N_SHAPES, width)
        self.marker = nn.Parameter(torch.randn(width) * config.initializer_range)
        self.segment = nn.Parameter(torch.randn(2, width) * config.initializer_range)  # text, label
        nn.init.zeros_(self.shape.weight)

    @classmethod
    def from_config(cls, config: PretrainedConfig) -> "PackedEncoder":
        """An untrained module: what loading fills with saved weights."""
        return cls(config)

    @classmethod
    def from_pretrained(cls, name: str, options: dict) -> "PackedEncoder":
        """The encoder's published weights under a fresh head.

        name (str): a Hugging Face name or a directory.
        options (dict): becomes `config.metaie`; where its text_sees_labels is None, `TEXT_SEES_LABELS`.
        RAISES (ValueError): the encoder's family is not supported.
        """
        from transformers import AutoModel

        config = AutoConfig.from_pretrained(name, trust_remote_code=False)
        check_family(config)
        config.metaie = dict(options)
        if config.metaie.get("text_sees_labels", False) is None:
            config.metaie["text_sees_labels"] = TEXT_SEES_LABELS
        library_encoder(config)  # for the numbers that it draws: a seed gives the heads of recorded trainings
        model = cls(config)
        source = AutoModel.from_pretrained(name, trust_remote_code=False, **FLOAT32).state_dict()
        own = model.encoder.state_dict()
        missing = own.keys() - source.keys()
        if missing:
            raise ValueError(f"'{name}' lacks the weights {sorted(missing)[:5]}. Is it a complete encoder?")
        model.encoder.load_state_dict({key: source[key] for key in own})
        with torch.no_grad():
            cls_id = model.config.metaie["cls_id"]
            model.marker.copy_(model.encoder.embeddings.word_embeddings.weight[cls_id])
        return model

    @classmethod
    def passes(cls, n_labels: int) -> int:
        """How many passes a text takes for so many labels."""
        return 1

    @property
    def window(self) -> int:
        """Pieces of one sequence that have a position of their own, specials included."""
        return self.config.max_position_embeddings - self._offset()

    @property
    def text_room(self) -> int:
        """Pieces of a text that one pass may hold, without specials."""
        return self.window - 2

    @property
    def label_room(self) -> int:
        """Pieces that a label may have, its marker included."""
        return self.window

    def _offset(self) -> int:
        return self.config.pad_token_id + 1 if self.config.model_type in POSITION_OFFSET else 0

    def embed(self, ids: Tensor, positions: Tensor, segment: Tensor, marker: Tensor | None = None) -> Tensor:
        """Inputs of the first layer: word + position + our vectors.

        ids, positions (Tensor): int64 (N,). segment (Tensor): what is added, (N, D) or (D,).
        marker (Tensor | None): where the marker stands in place of a word, int64 (U,).
        RETURNS (Tensor): (N, hidden).
        """
        words = self.encoder.embeddings.word_embeddings(ids)
        if marker is not None:
            words = words.index_copy(0, marker, self.marker.to(words.dtype).expand(len(marker), -1))
        x = self.encoder.embeddings(words + segment, positions + self._offset())
        return self.encoder.embeddings_project(x) if hasattr(self.encoder, "embeddings_project") else x

    def run(
        self,
        x: Tensor,
        rows: Unfolded,
        prefix: "Prefix | None" = None,
        keep: list[Tensor] | None = None,
        *,
        stop: int | None = None,
        tap: tuple[int, list[Tensor]] | None = None,
    ) -> Tensor:
        """The layers over packed pieces, each sequence attending to itself and to its prefix.

        x (Tensor): (N, hidden). rows (Unfolded): the sequences of x.
        prefix (Prefix | None): keys and values in front of each sequence's own.
        keep (list | None): takes each layer's keys and values, (N, 2, hidden).
        stop (int | None): run only so many of the first layers.
        tap (tuple | None): a number of layers, and a list that takes the states behind them.
        RETURNS (Tensor): states (N, hidden).
        """
        layers = self.encoder.encoder.layer[:stop]
        if tap is None or tap[0] >= len(layers):
            x = run_layers(layers, x, rows, self.config.num_attention_heads, prefix, keep)
            if tap is not None:
                tap[1].append(x)
            return x
        x = run_layers(layers[: tap[0]], x, rows, self.config.num_attention_heads, prefix, keep)
        tap[1].append(x)
        rest = None if prefix is None else prefix.behind(tap[0])
        return run_layers(layers[tap[0] :], x, rows, self.config.num_attention_heads, rest, keep)


def run_layers(
    layers: nn.ModuleList,
    x: Tensor,
    rows: Unfolded,
    heads: int,
    prefix: "Prefix | None" = None,
    keep: list[Tensor] | None = None,
    *,
    picked: Picked | None = None,
) -> Tensor:
    """Layers of a BERT-like encoder over packed pieces; arguments as of `PackedEncoder.run`.

    heads (int): of attention. picked (Picked | None): the only pieces whose last states are computed and returned.
    """
    mask = rows.mask if prefix is None else torch.cat([prefix.mask.expand(len(rows.mask), -1), rows.mask], 1)
    mask = None if prefix is None and rows.is_full else mask[:, None, None]
    for number, layer in enumerate(layers):
        attention = layer.attention.self
        own = rows
        k, v = attention.key(x), attention.value(x)
        if picked is not None and number == len(layers) - 1:
            x, own = x[picked.places], picked.rows
        q = attention.query(x)
        if keep is not None:
            keep.append(torch.stack([k, v], 1))
        q, k, v = own.pad(q), rows.pad(k), rows.pad(v)
        if prefix is not None:
            k, v = prefix.before(number, k, v)
        q, k, v = (t.unflatten(-1, (heads, -1)).transpose(1, 2) for t in (q, k, v))
        context = scaled_dot_product_attention(q, k, v, attn_mask=mask)
        context = own.pack(context.transpose(1, 2).flatten(2))
        x = layer.attention.output(context, x)
        x = layer.output(layer.intermediate(x), x)
    return x


class Prefix:
    """The label pieces that each text attends to.

    kv (Tensor): (N, layers, 2, hidden). index (Tensor): rows of kv for each text, int64 (1 or B, M).
    mask (Tensor): which of them count, bool (1 or B, M).
    """

    def __init__(self, kv: Tensor, index: Tensor, mask: Tensor):
        self.kv, self.index, self.mask = kv, index, mask

    def behind(self, layers: int) -> "Prefix":
        """What is left for the layers behind the first ones."""
        return Prefix(self.kv[:, layers:], self.index, self.mask)

    def before(self, layer: int, keys: Tensor, values: Tensor) -> list[Tensor]:
        both = self.kv[:, layer][self.index]  # (1 or B, M, 2, hidden)
        both = both.expand(len(keys), -1, -1, -1)
        return [torch.cat([both[:, :, i].to(own.dtype), own], 1) for i, own in enumerate((keys, values))]


def library_encoder(config: PretrainedConfig) -> nn.Module:
    """transformers' own encoder of a config, its weights drawn; to import it takes long, and no extraction needs it."""
    from transformers import AutoModel

    pooler = {} if config.model_type == "electra" else {"add_pooling_layer": False}
    return AutoModel.from_config(config, trust_remote_code=False, **FLOAT32, **pooler)


def check_family(config: PretrainedConfig) -> None:
    """RAISES (ValueError): label-prefix attention is not known to be right for this encoder."""
    positions = getattr(config, "position_embedding_type", "absolute")
    if config.model_type not in FAMILIES or positions != "absolute":
        raise ValueError(
            f"Encoders of type '{config.model_type}' (positions: {positions}) are not supported: "
            f"use one of {', '.join(FAMILIES)} with absolute positions."
        )


def label_means(model: PackedEncoder, labels: Labels) -> Tensor:
    """The mean state of each label's pieces under the encoder alone, float32 (U, hidden)."""
    rows = Unfolded(labels.lengths)
    states = model.run(model.embed(labels.ids, rows.positions, torch.zeros_like(model.segment[1])), rows)
    owner = torch.arange(len(labels.lengths), device=states.device).repeat_interleave(labels.lengths)
    sums = states.new_zeros((len(labels.lengths), states.shape[-1])).index_add(0, owner, states)
    return sums / labels.lengths[:, None]
