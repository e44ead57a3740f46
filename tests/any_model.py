"""A language model that is none of ours: every structure that records know, behind the protocol."""

from dataclasses import dataclass, replace

import torch

from circuitscope_core.language_model import (
    LayerRecord,
    MlpCall,
    MlpNeurons,
    MlpPass,
    ModelShape,
    NormMap,
    Record,
    apply_norm,
)


@dataclass(frozen=True)
class Structure:
    """How a family of models is built."""

    norm: str = "RMS"
    """``LN``, ``RMS`` or ``none``."""
    n_heads: int = 4
    n_kv_heads: int = 2
    parallel: bool = False
    attention_post_norm: bool = False
    write_norm: bool = False
    mid_norm: bool = False
    """On the stream after attention."""
    end_norm: bool = False
    """On the stream after the MLP."""
    n_opening: int = 1
    causal: bool = True


class AnyModel:
    """A random model of a structure, in double precision; only passes as records."""

    def __init__(self, structure, n_layers=3, d_model=8, d_vocab=40, seed=0):
        self.structure = structure
        generator = torch.Generator().manual_seed(seed)

        def draw(*shape):
            return torch.randn(shape, generator=generator, dtype=torch.float64)

        self._shape = ModelShape(
            n_layers=n_layers,
            d_model=d_model,
            n_heads=structure.n_heads,
            d_vocab=d_vocab,
            n_ctx=32,
            causal=structure.causal,
            n_opening=structure.n_opening,
        )
        d_head, width = 3, d_model**-0.5
        kv, heads = structure.n_kv_heads, structure.n_heads
        self.E, self.W_pos = draw(d_vocab, d_model), draw(32, d_model) * 0.3
        self.W_U, self.b_U = draw(d_model, d_vocab) * width, draw(d_vocab) * 0.1
        self.layers = [
            {
                "W_V": draw(kv, d_model, d_head) * width,
                "b_V": draw(kv, d_head) * 0.3,
                "W_O": draw(heads, d_head, d_model) * 0.5,
                "b_O": draw(d_model) * 0.1,
                "scores": draw(heads, 32, 32),
                "W_in": draw(d_model, 16) * width,
                "W_out": draw(16, d_model) * 0.5,
                "norms": [(1 + 0.3 * draw(d_model), 0.2 * draw(d_model)) for _ in range(4)],
            }
            for _ in range(n_layers)
        ]
        self.final = (1 + 0.3 * draw(d_model), 0.2 * draw(d_model))
        for layer in self.layers:
            layer["norms"] += [(1 + 0.3 * draw(d_model), 0.2 * draw(d_model)) for _ in range(2)]

    @property
    def shape(self):
        return self._shape

    def writing_at(self, write_point):
        """Return the model itself: a norm behind its MLPs is always in the record."""
        del write_point
        return self

    def neurons(self, layer):
        weights = self.layers[layer]
        W_in, W_out = weights["W_in"], weights["W_out"]
        nothing = W_in.new_zeros(W_in.shape[1]), W_out.new_zeros(1, W_out.shape[1])
        return MlpNeurons(W_in, nothing[0], W_out, nothing[1], torch.tanh)

    def measure(self, parameters, x):
        if self.structure.norm == "none":
            return None
        gain, bias = parameters
        centred = self.structure.norm == "LN"
        spread = x - x.mean(-1, keepdim=True) if centred else x
        scale = (spread.square().mean(-1, keepdim=True) + 1e-6).sqrt()
        return NormMap(gain, bias if centred else None, centred, scale)

    n_parameters = 0

    def describe(self):
        return {}

    def tokens(self, token_ids):
        return torch.tensor([list(token_ids)])

    def token_vectors(self, token_ids):
        return self.E[token_ids]

    def unembedding(self, token_ids):
        return self.W_U[:, token_ids].T, self.b_U[token_ids]

    def mean_unembedding(self):
        return self.W_U.mean(dim=1), self.b_U.mean()

    def logits_of(self, final):
        return final @ self.W_U + self.b_U

    def __call__(self, token_ids):
        return self.record(token_ids).logits

    def record(self, token_ids, *, edit_mlp=None, embed_change=None, clean=None, frozen="norms"):
        n_pos = token_ids.shape[1]
        vectors, positions = self.E[token_ids], self.W_pos[:n_pos]
        stream = vectors + positions + (0 if embed_change is None else embed_change)
        keep = clean if frozen == "norms" else None
        streams, layers = [stream], []
        for number in range(self.shape.n_layers):
            before = keep.layers[number] if keep else None
            layer = self._layer(number, stream, before, edit_mlp)
            mid = apply_norm(layer.mid_norm, stream + attend(layer, stream))
            after = mid + apply_norm(layer.write_norm, layer.site.mlp_out)
            if self.structure.end_norm:
                own = self.measure(self.layers[number]["norms"][5], after)
                layer = replace(layer, end_norm=before.end_norm if before else own)
            stream = apply_norm(layer.end_norm, after)
            layers.append(layer)
            streams.append(stream)
        norm = keep.final_norm if keep else self.measure(self.final, stream)
        final = apply_norm(norm, stream)
        return Record(
            token_ids=token_ids,
            token_vectors=vectors,
            position_vectors=positions,
            layers=tuple(layers),
            streams=tuple(streams),
            final_norm=norm,
            final=final,
            logits=self.logits_of(final),
            causal=self.structure.causal,
        )

    def _layer(self, number, stream, before, edit_mlp):
        weights, structure = self.layers[number], self.structure
        n_pos = stream.shape[1]
        scores = weights["scores"][:, :n_pos, :n_pos]
        if structure.causal:
            scores = scores.masked_fill(
                torch.ones(n_pos, n_pos, dtype=torch.bool).triu(1), float("-inf")
            )
        pattern = scores.softmax(-1)[None]
        norms = weights["norms"]
        attention_norm = before.attention_norm if before else self.measure(norms[0], stream)
        parts = {name: weights[name] for name in ("W_V", "b_V", "W_O", "b_O")}
        values = apply_norm(attention_norm, stream)[:, None] @ parts["W_V"] + parts["b_V"][:, None]
        mixed = pattern @ values.repeat_interleave(structure.n_heads // structure.n_kv_heads, 1)
        written = (mixed @ parts["W_O"]).sum(1) + parts["b_O"]
        post = None
        if structure.attention_post_norm:
            post = before.attention_post_norm if before else self.measure(norms[1], written)
        mid, mid_norm = stream + apply_norm(post, written), None
        if structure.mid_norm:
            mid_norm = before.mid_norm if before else self.measure(norms[4], mid)
        mid = apply_norm(mid_norm, mid)
        source = stream if structure.parallel else mid
        read_norm = before.read_norm if before else self.measure(norms[2], source)
        mlp_in = apply_norm(read_norm, source)
        call = MlpCall(
            number,
            source,
            mlp_in,
            lambda x: torch.tanh(x @ weights["W_in"]) @ weights["W_out"],
            resid_pre=stream,
            norm=read_norm,
        )
        site = call.with_output(edit_mlp(call) if edit_mlp else call.mlp_out())
        write = None
        if structure.write_norm:
            write = before.write_norm if before else self.measure(norms[3], site.mlp_out)
        return LayerRecord(
            pattern,
            **parts,
            site=site,
            attention_norm=attention_norm,
            attention_post_norm=post,
            write_norm=write,
            parallel=structure.parallel,
            mid_norm=mid_norm,
        )

    def mlp_pass(self, token_ids, edit_mlp=None):
        done = self.record(token_ids, edit_mlp=edit_mlp)
        return MlpPass(done.sites, done.streams[-1])

    def run_suffix(self, clean, stream, first_layer, start, *, edit_mlp=None, frozen="nothing"):
        raise NotImplementedError

    logits_after = run_mlp = read_norm = final_norm = head_reads = run_suffix


def attend(layer, stream):
    """Return what a recorded layer's attention adds to every stream of a batch."""
    normalized = apply_norm(layer.attention_norm, stream)
    values = normalized[:, None] @ layer.W_V + layer.b_V[:, None]
    mixed = layer.pattern @ values.repeat_interleave(layer.heads_per_value, 1)
    written = (mixed @ layer.W_O).sum(1) + layer.b_O
    return apply_norm(layer.attention_post_norm, written)


def variants():
    """Every structure that differs from the first in one thing, and one that has them all."""
    plain = Structure()
    changes = (
        {},
        {"norm": "LN", "n_kv_heads": 4},
        {"norm": "none"},
        {"n_kv_heads": 1},
        {"parallel": True},
        {"attention_post_norm": True},
        {"norm": "LN", "attention_post_norm": True},
        {"write_norm": True},
        {"n_opening": 3},
        {"causal": False},
        {"mid_norm": True},
        {"norm": "LN", "end_norm": True, "write_norm": True},
        {"norm": "LN", "mid_norm": True, "end_norm": True, "causal": False},
        {"parallel": True, "mid_norm": True, "end_norm": True},
        {"parallel": True, "attention_post_norm": True, "write_norm": True, "n_kv_heads": 1},
    )
    return [replace(plain, **change) for change in changes]
