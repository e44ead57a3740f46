"""Two small bundles that can be told apart, and what a folder of models shows of them."""

import shutil

import torch

import circuitscope_core as cs
from circuitscope_core.feature_cards import FeatureCards
from circuitscope_core.feature_cards.cards import empty_card
from tests.samples import tiny_replacement


def small_bundle(seed):
    """Return a bundle whose name tells its seed."""
    replacement = tiny_replacement(seed)
    sizes = replacement.transcoder.config
    cards = [empty_card(0, feature) for feature in range(2)]
    return cs.Bundle(
        replacement.model,
        replacement.transcoder,
        replacement.tokenizer,
        FeatureCards.of(cards, sizes.d_transcoder),
        cs.BundleMetadata(f"seed {seed}"),
    )


def seed_of(folder):
    """Return the seed of the bundle in a folder, which is whole: every hash is checked."""
    loaded = cs.load_bundle(folder)
    seed = int(loaded.metadata.name.removeprefix("seed "))
    assert torch.equal(loaded.model.W_U, small_bundle(seed).model.W_U)
    return seed


def fresh(template, place):
    """Return a copy of a folder of models, in a place that is emptied."""
    shutil.rmtree(place, ignore_errors=True)
    shutil.copytree(template, place)
    return place


def refusal(work):
    """Return in what words of the project something was refused; nothing where it was done."""
    try:
        work()
    except cs.CircuitScopeError as error:
        return str(error)
    return ""
