"""Torch modules: label-prefix attention (LabelToSpan) and one pass per label (CrossEncoder).

Needs torch and transformers only. Sequences travel PACKED: the pieces of all sequences of a batch
stand in one (N,) tensor beside their lengths, so that linear layers, nine tenths of the work, never
touch padding; only attention unfolds them into rows of equal length.
"""
import json
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention
from transformers import CONFIG_MAPPING, AutoConfig, AutoModel, PretrainedConfig

from .pieces import N_SHAPES

FAMILIES = ("bert", "electra", "roberta", "xlm-roberta", "camembert")
POSITION_OFFSET = ("roberta", "xlm-roberta", "camembert")  # their position 0 is padding_idx + 1


class Texts(NamedTuple):
    """A packed batch of B texts with N pieces and W scored tokens.

    ids (Tensor): piece ids, `[CLS] pieces [SEP]` per text, int64 (N,).
    shapes (Tensor): shape class of the token of each piece, 0 for specials, int64 (N,).
    lengths (Tensor): pieces per text, int64 (B,).
    first (Tensor): index into `ids` of each scored token's first piece, int64 (W,).
    words (Tensor): scored tokens per text, int64 (B,).
    """

    ids: Tensor
    shapes: Tensor
    lengths: Tensor
    first: Tensor
    words: Tensor


class Labels(NamedTuple):
    """A packed batch of U labels with N pieces: `[marker] pieces` each.

    ids (Tensor): piece ids; the id at a marker's place is not looked up, int64 (N,).
    lengths (Tensor): pieces per label, marker included, int64 (U,).
    """

    ids: Tensor
    lengths: Tensor


class LabelStates(NamedTuple):
    """What texts need of U encoded labels with N pieces.

    vectors (Tensor): projected marker states, B half and I half, (U, 2, head_width).
    kv (Tensor): keys and values of every layer, (N, layers, 2, hidden); N = 0 if texts are
        label-blind.
    lengths (Tensor): pieces per label in `kv`, int64 (U,).
    """

    vectors: Tensor
    kv: Tensor
    lengths: Tensor


class Unfolded:
    """Index maps between packed pieces and padded rows of one batch of sequences.

    lengths (Tensor): pieces per sequence, int64 (S,).
    """

    def __init__(self, lengths: Tensor):
        self.lengths = lengths
        self.width = int(lengths.max()) if len(lengths) else 0
        self.column = torch.arange(self.width, device=lengths.device)
        self.mask = self.column < lengths[:, None]  # (S, width)
        self.index = self.mask.flatten().nonzero().squeeze(1)  # packed -> flat padded
        self.positions = self.column.expand_as(self.mask).flatten()[self.index]
        self.starts = lengths.cumsum(0) - lengths

    def pad(self, packed: Tensor) -> Tensor:
        """(N, D) -> (S, width, D), zeros where padded."""
        flat = packed.new_zeros((self.mask.numel(), packed.shape[-1]))
        return flat.index_copy(0, self.index, packed).view(*self.mask.shape, -1)

    def pack(self, padded: Tensor) -> Tensor:
        """(S, width, D) -> (N, D)."""
        return padded.reshape(-1, padded.shape[-1])[self.index]


class PackedEncoder(nn.Module):
    """A pre-trained encoder of the BERT family that runs on packed pieces, with our input vectors.

    config (PretrainedConfig): the encoder's config; `config.metaie` holds every option of ours, so
        that a saved config alone rebuilds the module.
    RAISES (ValueError): the encoder's family is not supported.
    """

    def __init__(self, config: PretrainedConfig):
        super().__init__()
        check_family(config)
        config.attention_probs_dropout_prob = 0.0  # dropout there leaves the fast path: 3x slower
        config.hidden_dropout_prob = config.metaie["dropout"]
        pooler = {} if config.model_type == "electra" else {"add_pooling_layer": False}
        self.config = config
        self.options = config.metaie
        self.encoder = AutoModel.from_config(config, trust_remote_code=False, **pooler)
        width = getattr(config, "embedding_size", config.hidden_size)
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
        options (dict): becomes `config.metaie`.
        RAISES (ValueError): the encoder's family is not supported.
        """
        config = AutoConfig.from_pretrained(name, trust_remote_code=False)
        check_family(config)
        config.metaie = dict(options)
        model = cls(config)
        source = AutoModel.from_pretrained(name, torch_dtype=torch.float32, trust_remote_code=False).state_dict()
        own = model.encoder.state_dict()
        missing = own.keys() - source.keys() - {"embeddings.position_ids", "embeddings.token_type_ids"}
        if missing:
            raise ValueError(f"'{name}' lacks the weights {sorted(missing)[:5]}. Is it a complete encoder?")
        model.encoder.load_state_dict({key: source[key] for key in own if key in source}, strict=False)
        with torch.no_grad():
            cls_id = model.config.metaie["cls_id"]
            model.marker.copy_(model.encoder.get_input_embeddings().weight[cls_id])
        return model

    @property
    def window(self) -> int:
        """Pieces of one sequence that have a position of their own, specials included."""
        return self.config.max_position_embeddings - self._offset()

    def _offset(self) -> int:
        return self.config.pad_token_id + 1 if self.config.model_type in POSITION_OFFSET else 0

    def embed(self, ids: Tensor, positions: Tensor, segment: Tensor, marker: Tensor | None = None) -> Tensor:
        """Inputs of the first layer: word + position + our vectors.

        ids, positions (Tensor): int64 (N,). segment (Tensor): what is added, (N, D) or (D,).
        marker (Tensor | None): where the marker stands in place of a word, int64 (U,).
        RETURNS (Tensor): (N, hidden).
        """
        words = self.encoder.get_input_embeddings()(ids)
        if marker is not None:
            words = words.index_copy(0, marker, self.marker.to(words.dtype).expand(len(marker), -1))
        x = self.encoder.embeddings(
            inputs_embeds=(words + segment)[None],
            position_ids=(positions + self._offset())[None],
            token_type_ids=torch.zeros_like(ids)[None],
        )
        if hasattr(self.encoder, "embeddings_project"):  # ELECTRA's embeddings may be narrower
            x = self.encoder.embeddings_project(x)
        return x[0]

    def run(
        self, x: Tensor, rows: Unfolded, prefix: "Prefix | None" = None, keep: list[Tensor] | None = None
    ) -> Tensor:
        """All layers over packed pieces, each sequence attending to itself and to its prefix.

        x (Tensor): (N, hidden). rows (Unfolded): the sequences of x.
        prefix (Prefix | None): keys and values in front of each sequence's own.
        keep (list | None): takes each layer's keys and values, (N, 2, hidden).
        RETURNS (Tensor): states (N, hidden).
        """
        heads = self.config.num_attention_heads
        mask = rows.mask if prefix is None else torch.cat([prefix.mask.expand(len(rows.mask), -1), rows.mask], 1)
        mask = mask[:, None, None]
        for number, layer in enumerate(self.encoder.encoder.layer):
            attention = layer.attention.self
            linears = (attention.query, attention.key, attention.value)
            q, k, v = (linear(x) for linear in linears)
            if keep is not None:
                keep.append(torch.stack([k, v], 1))
            q, k, v = rows.pad(q), rows.pad(k), rows.pad(v)
            if prefix is not None:
                k, v = prefix.before(number, k, v)
            q, k, v = (t.unflatten(-1, (heads, -1)).transpose(1, 2) for t in (q, k, v))
            context = scaled_dot_product_attention(q, k, v, attn_mask=mask)
            context = rows.pack(context.transpose(1, 2).flatten(2))
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

    def before(self, layer: int, keys: Tensor, values: Tensor) -> list[Tensor]:
        both = self.kv[:, layer][self.index]  # (1 or B, M, 2, hidden)
        both = both.expand(len(keys), -1, -1, -1)
        return [torch.cat([both[:, :, i].to(own.dtype), own], 1) for i, own in enumerate((keys, values))]


class LabelToSpan(PackedEncoder):
    """B and I logits of every (token, label) pair, each label encoded once for all texts.

    A label's pieces see that label only; a text's pieces see the text and, if
    `text_sees_labels`, the labels asked of it. Training encodes the labels of a batch in the same
    pass (gradients flow through keys and values); prediction takes them from a cache.
    The task is MetaIE's (arXiv 2404.00457); encoding a label once is ours.
    """

    def __init__(self, config: PretrainedConfig):
        super().__init__(config)
        hidden, inner, width = config.hidden_size, self.options["head_inner"], self.options["head_width"]
        self.token_width = self.options.get("token_width", hidden)
        self.token_head = mlp(self.token_width, inner, 2 * width, self.options["dropout"])
        self.label_head = mlp(hidden, inner, 2 * width, self.options["dropout"])
        # At the start nothing is a span: with a neutral bias the head first drowns in O.
        self.bias = nn.Parameter(torch.full((2,), -3.0))

    def encode_labels(self, labels: Labels) -> LabelStates:
        """The labels' half of the pass; its result may be cached per label."""
        rows = Unfolded(labels.lengths)
        x = self.embed(labels.ids, rows.positions, self.segment[1], marker=rows.starts)
        kvs = [] if self.options["text_sees_labels"] else None
        x = self.run(x, rows, keep=kvs)
        vectors = self.label_head(x[rows.starts]).unflatten(-1, (2, -1))
        if kvs is None:
            none = x.new_zeros((0, self.config.num_hidden_layers, 2, x.shape[-1]))
            return LabelStates(vectors, none, torch.zeros_like(labels.lengths))
        return LabelStates(vectors, torch.stack(kvs, 1), labels.lengths)

    def forward(self, texts: Texts, labels: Labels | LabelStates, asked: Tensor | None = None) -> Tensor:
        """Score every scored token of every text against every label.

        texts (Texts): B texts. labels (Labels | LabelStates): U labels, encoded here if they are
            not yet.
        asked (Tensor | None): which labels a text sees, bool (B, U); None: all.
        RETURNS (Tensor): logits of B and I against O = 0, (W, U, 2). Pairs that were not asked are
            meaningless.
        """
        states = self.encode_labels(labels) if isinstance(labels, Labels) else labels
        rows = Unfolded(texts.lengths)
        prefix = None
        if len(states.kv):
            prefix = Prefix(states.kv, *label_pieces(states.lengths, asked))
        x = self.embed(texts.ids, rows.positions, self.segment[0] + self.shape(texts.shapes))
        return self.match(self.run(x, rows, prefix)[texts.first], states)

    def match(self, tokens: Tensor, states: LabelStates) -> Tensor:
        """Logits of W token states, (W, width), against U labels: (W, U, 2)."""
        tokens = self.token_head(tokens).unflatten(-1, (2, -1))
        logits = torch.einsum("wkd,ukd->wuk", tokens, states.vectors.to(tokens.dtype))
        return logits / self.options["head_width"] ** 0.5 + self.bias


class TokenVectors(NamedTuple):
    """Tokens that another model has encoded: T of them, of which W are scored.

    vectors (Tensor): (T, width). rows (Tensor): the scored ones, int64 (W,).
    """

    vectors: Tensor
    rows: Tensor


class SharedTransformer(LabelToSpan):
    """Labels against token vectors that come from elsewhere; of the encoder's own, only labels are encoded.

    `config.metaie["token_width"]` is the width of those vectors.
    """

    def forward(self, texts: TokenVectors, labels: Labels | LabelStates, asked: Tensor | None = None) -> Tensor:
        """As `LabelToSpan.forward`; no label changes how a text is read, so `asked` has no effect.

        RAISES (ValueError): the vectors are of another width than those of the training.
        """
        if texts.vectors.shape[-1] != self.token_width:
            raise ValueError(
                f"The token vectors are {texts.vectors.shape[-1]} wide, but this component was trained on {self.token_width}. "
                "Use the tok2vec that it was trained with, or train it again."
            )
        states = self.encode_labels(labels) if isinstance(labels, Labels) else labels
        return self.match(texts.vectors[texts.rows], states)


class CrossEncoder(PackedEncoder):
    """The paper's form (arXiv 2404.00457): one pass `[CLS] label [SEP] text [SEP]` per pair."""

    def __init__(self, config: PretrainedConfig):
        super().__init__(config)
        self.token_head = mlp(config.hidden_size, self.options["head_inner"], 2, self.options["dropout"])
        self.bias = nn.Parameter(torch.full((2,), -3.0))

    def encode_labels(self, labels: Labels) -> Labels:
        """Nothing can be shared between texts here."""
        return labels

    def forward(self, texts: Texts, labels: Labels, asked: Tensor | None = None) -> Tensor:
        """As `LabelToSpan.forward`; the logits of pairs that were not asked are 0."""
        text_rows, label_rows = Unfolded(texts.lengths), Unfolded(labels.lengths)
        if asked is None:
            asked = torch.ones((len(texts.lengths), len(labels.lengths)), dtype=torch.bool, device=texts.ids.device)
        t, u = asked.nonzero(as_tuple=True)
        # One pair: [CLS], the label without its marker, [SEP], the text without its [CLS].
        n_label, n_text = labels.lengths[u] - 1, texts.lengths[t] - 1
        rows = Unfolded(n_label + n_text + 2)
        column, owner = rows.positions, torch.arange(len(t), device=t.device).repeat_interleave(rows.lengths)
        in_text = column > n_label[owner] + 1
        in_label = (column > 0) & (column <= n_label[owner])
        text_at = text_rows.starts[t][owner] + column - n_label[owner] - 1
        label_at = label_rows.starts[u][owner] + column
        last = len(texts.ids) - 1
        ids = torch.where(in_text, texts.ids[text_at.clamp(0, last)], self.options["sep_id"])
        ids = torch.where(in_label, labels.ids[label_at.clamp(max=len(labels.ids) - 1)], ids)
        ids = torch.where(column == 0, self.options["cls_id"], ids)
        shapes = torch.where(in_text, texts.shapes[text_at.clamp(0, last)], 0)
        x = self.embed(ids, rows.positions, self.segment[(~in_text).long()] + self.shape(shapes))
        x = self.run(x, rows)
        # Scored tokens of every pair, in the order of the pairs.
        token_rows = Unfolded(texts.words)
        words = Unfolded(texts.words[t])
        pair = torch.arange(len(t), device=t.device).repeat_interleave(words.lengths)
        token = token_rows.starts[t][pair] + words.positions
        inside = texts.first[token] - text_rows.starts[t][pair]
        states = x[rows.starts[pair] + n_label[pair] + 1 + inside]
        logits = x.new_zeros((len(texts.first), len(labels.lengths), 2))
        return logits.index_put((token, u[pair]), (self.token_head(states) + self.bias).to(x.dtype))


def label_pieces(lengths: Tensor, asked: Tensor | None) -> tuple[Tensor, Tensor]:
    """Which packed label pieces each text sees.

    lengths (Tensor): pieces per label, int64 (U,). asked (Tensor | None): bool (B, U).
    RETURNS (tuple): index int64 (B or 1, M) and mask bool (B or 1, M).
    """
    if asked is None or bool(asked.all()):
        index = torch.arange(int(lengths.sum()), device=lengths.device)[None]
        return index, torch.ones_like(index, dtype=torch.bool)
    seen = asked.repeat_interleave(lengths, dim=1)  # (B, N)
    width = max(1, int(seen.sum(1).max()))
    order = (~seen).to(torch.int8).argsort(dim=1, stable=True)[:, :width]
    return order, seen.gather(1, order)


def mlp(n_in: int, inner: int, n_out: int, dropout: float) -> nn.Sequential:
    return nn.Sequential(nn.Linear(n_in, inner), nn.GELU(), nn.Dropout(dropout), nn.Linear(inner, n_out))


def check_family(config: PretrainedConfig) -> None:
    """RAISES (ValueError): label-prefix attention is not known to be right for this encoder."""
    positions = getattr(config, "position_embedding_type", "absolute")
    if config.model_type not in FAMILIES or positions != "absolute":
        raise ValueError(
            f"Encoders of type '{config.model_type}' (positions: {positions}) are not supported: "
            f"use one of {', '.join(FAMILIES)} with absolute positions."
        )


def saved_config(path: Path) -> PretrainedConfig:
    """The config of saved weights, read as data: of its keys, those that name code have no effect.

    path (Path): a directory with `config.json`.
    RAISES (ValueError): it is of no supported family, or not ours. (KeyError, OSError): it is damaged.
    """
    values = json.loads((path / "config.json").read_text(encoding="utf8"))
    if not isinstance(values, dict) or not isinstance(values.get("metaie"), dict):
        raise ValueError(f"'{path / 'config.json'}' does not describe a metaie model.")
    if values.get("model_type") not in FAMILIES:
        raise ValueError(f"The saved encoder is of type {values.get('model_type')!r}; supported are {', '.join(FAMILIES)}.")
    for key in ("auto_map", "attn_implementation", "_attn_implementation", "quantization_config", "custom_pipelines"):
        values.pop(key, None)
    return CONFIG_MAPPING[values["model_type"]].from_dict(values)
