"""The native pre-LN transformer, which can be trained, and its passes as records."""

from circuitscope_core.transformer.transformer_model import Transformer

__all__ = ["Transformer"]
