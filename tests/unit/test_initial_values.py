"""The numbers of a new model, and a model that only has shapes."""

import torch

from circuitscope_core.config import ModelConfig
from circuitscope_core.initial_values import draw_normal
from circuitscope_core.transformer import Transformer


def test_numbers_are_those_that_pytorch_draws_for_the_seed():
    torch.manual_seed(3)
    expected = torch.randn(5, 7) * 0.02
    torch.manual_seed(3)
    assert torch.equal(draw_normal(5, 7, std=0.02), expected)


def test_a_model_of_shapes_alone_has_the_shapes_of_the_real_one():
    for positions in ("learned", "rotary"):
        config = ModelConfig(d_vocab=40, n_layers=2, d_model=8, n_heads=2, positions=positions)
        real = Transformer(config)
        with torch.device("meta"):
            shapes = Transformer(config)
        for one, other in (
            (shapes.parameters(), real.parameters()),
            (shapes.buffers(), real.buffers()),
        ):
            assert [(t.shape, t.dtype) for t in one] == [(t.shape, t.dtype) for t in other]
        assert all(t.is_meta for t in (*shapes.parameters(), *shapes.buffers()))
        assert real.blocks[0].attn.W_Q.std() > 0
