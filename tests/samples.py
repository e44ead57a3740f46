"""Tiny random models and graphs: no parameter is 0, so that no term can hide."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from circuitscope_core.config import ModelConfig, TranscoderConfig
from circuitscope_core.graph import AttributionGraph
from circuitscope_core.replacement import ReplacementModel
from circuitscope_core.tokenizer import ByteTokenizer
from circuitscope_core.transcoder import CrossLayerTranscoder
from circuitscope_core.transformer import Transformer

PROMPT = "The Navy (N"


@contextmanager
def seeded(seed) -> Iterator[None]:
    """Draw the initial weights from a seed as well: every run tests the same model."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        yield


def fill_with_noise(module, scale, generator):
    with torch.no_grad():
        tensors = [*module.parameters(), *(b for n, b in module.named_buffers() if "b_U" in n)]
        for tensor in tensors:
            tensor.add_(torch.randn(tensor.shape, generator=generator) * scale)
    return module


def tiny_model(seed=0, **changes):
    sizes = {"n_layers": 2, "d_model": 8, "n_heads": 2, "d_head": 4, "d_mlp": 16, "n_ctx": 32}
    with seeded(seed):
        model = Transformer(ModelConfig(**{**sizes, **changes}))
    return fill_with_noise(model, 0.3, torch.Generator().manual_seed(seed)).requires_grad_(False)


def tiny_transcoder(seed=1, threshold=0.4, **changes):
    sizes = {"n_layers": 2, "d_model": 8, "d_transcoder": 12}
    with seeded(seed):
        transcoder = CrossLayerTranscoder(TranscoderConfig(**{**sizes, **changes}))
    fill_with_noise(transcoder, 0.3, torch.Generator().manual_seed(seed))
    with torch.no_grad():
        transcoder.log_threshold.fill_(threshold).log_()
    return transcoder.requires_grad_(False)


def tiny_replacement(seed=0, n_layers=2, threshold=0.4, model=None, transcoder=None):
    return ReplacementModel(
        tiny_model(seed, n_layers=n_layers, **(model or {})),
        tiny_transcoder(seed + 1, threshold, n_layers=n_layers, **(transcoder or {})),
        ByteTokenizer(),
    )


def silence(replacement, layer=None, last_position_of=None):
    """Raise thresholds so that a layer, every layer, or all that fires at the end is silent."""
    transcoder, high = replacement.transcoder, torch.tensor(1e6).log()
    with torch.no_grad():
        if last_position_of is not None:
            token_ids = [256, *last_position_of.encode()]
            for site in replacement.model.record(torch.tensor([token_ids])).sites:
                read = site.read(transcoder.config.read_point)[0, -1]
                active = transcoder.encode(site.layer, read) > 0
                transcoder.log_threshold[site.layer, active] = high
        elif layer is None:
            transcoder.log_threshold.fill_(high)
        else:
            transcoder.log_threshold[layer].fill_(high)
    return replacement


def make_graph(adjacency, features, n_layers=1, n_pos=1, probabilities=(1.0,)):
    """A graph with given edges; nodes in the fixed order, everything else plain."""
    n_nodes = len(adjacency)
    return AttributionGraph(
        adjacency=torch.as_tensor(adjacency, dtype=torch.float32),
        features=torch.tensor(features, dtype=torch.int64).reshape(-1, 3),
        activations=torch.ones(len(features)),
        error_vectors=torch.zeros(n_layers, n_pos, 8),
        token_ids=torch.arange(n_pos) + 65,
        logit_token_ids=torch.arange(len(probabilities)) + 97,
        logit_probabilities=torch.tensor(probabilities, dtype=torch.float32),
        bias=torch.zeros(n_nodes),
        pre_activations=torch.zeros(n_nodes),
        token_texts=tuple(chr(65 + position) for position in range(n_pos)),
        logit_texts=tuple(chr(97 + number) for number in range(len(probabilities))),
        prompt="".join(chr(65 + position) for position in range(n_pos)),
        n_active_features=len(features),
    )


def random_graph(seed, n_layers=3, n_pos=3, n_features=12, n_logits=2, density=0.5):
    """A random graph with the structure of a real one: effects only go up and to the right."""
    generator = torch.Generator().manual_seed(seed)
    rows = {
        tuple(int(torch.randint(high, (1,), generator=generator)) for high in (n_layers, n_pos, 50))
        for _ in range(n_features)
    }
    features = sorted(rows)
    n_nodes = len(features) + n_layers * n_pos + n_pos + n_logits
    weights = torch.rand(n_logits, generator=generator) + 0.01
    empty = make_graph(
        torch.zeros(n_nodes, n_nodes),
        features,
        n_layers,
        n_pos,
        tuple((weights / weights.sum()).sort(descending=True).values.tolist()),
    )
    layers, positions = empty.node_layers, empty.node_positions
    allowed = (layers[:, None] > layers[None]) & (positions[:, None] >= positions[None])
    allowed[empty.error_nodes] = False
    allowed[empty.token_nodes] = False
    drawn = torch.rand(n_nodes, n_nodes, generator=generator) < density
    effects = torch.randn(n_nodes, n_nodes, generator=generator) * allowed * drawn
    return make_graph(effects, features, n_layers, n_pos, tuple(empty.logit_probabilities.tolist()))
