"""``attribute``: the whole way from a prompt to its graph."""

from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate

import torch
from jaxtyping import Float
from torch import Tensor

from circuitscope_core.answers import Answer, AnsweredPrompt, PromptLike
from circuitscope_core.arguments import checked
from circuitscope_core.attribution.alternatives import (
    OtherTokens,
    alternatives_of,
    find_alternatives,
)
from circuitscope_core.attribution.answered import behind, targets_of, with_answer
from circuitscope_core.attribution.budget import choose_features, reads_of
from circuitscope_core.attribution.effects import Rows, rows_of
from circuitscope_core.attribution.neuron_choice import choose_nodes
from circuitscope_core.attribution.plan import AttributionPlan, check_memory, plan_attribution
from circuitscope_core.attribution.rest import Rest, split_features
from circuitscope_core.attribution.row_batches import take_feature_rows
from circuitscope_core.attribution.sources import Sources, cores_for, lay_out_sources
from circuitscope_core.attribution.targets import LogitTargets, Target, select_targets
from circuitscope_core.config import AttributionConfig
from circuitscope_core.cores import map_on_cores, one_core
from circuitscope_core.errors import GraphError
from circuitscope_core.graph import AttributionGraph, GraphTargets, NeuronChoice
from circuitscope_core.graph.lazy_memory import lazy_zeros
from circuitscope_core.prompt_pass import PromptPass, run_prompt
from circuitscope_core.replacement import Explainable
from circuitscope_core.values import one_line


@dataclass(frozen=True)
class AttributionProgress:
    """How far it is: ``done`` of ``total`` features where the step counts them."""

    step: str
    done: int = 0
    total: int = 0


@checked
def attribute(  # noqa: PLR0913  # each a name of the public interface
    bundle: Explainable | PromptPass,
    prompt: PromptLike,
    *,
    max_logits: int = 10,
    logit_probability: float = 0.95,
    max_feature_nodes: int | None = None,
    targets: Sequence[Target] | None = None,
    answer: Answer | None = None,
) -> AttributionGraph:
    """Build the exact attribution graph of a prompt's next token, or of a whole answer.

    The graph of an answer has a logit node for each of its tokens, read at the position before it.
    Its rows are those of the graphs of the prompts that end there.

    Args:
        bundle: A bundle or a replacement model, or the prompt's pass from ``run_prompt``.
        prompt: Text, which is opened with the separator, token ids, which are taken as they are, or
            a prompt with its answer from ``answer_prompt``.
        max_logits: The most output tokens, where ``targets`` is None.
        logit_probability: Output tokens are taken until they have this probability together.
        max_feature_nodes: The number of features to keep, those that do most to the outputs over
            all paths; None keeps all. The others are added up at each layer and position
            (``AttributionGraph.rest``). Memory then grows with the features that are kept.
        targets: Token ids, texts of one token, ``TokenDifference``, ``FeatureTarget`` or
            ``Direction``, or ``TokenAt`` for a token at one of several positions; None: the
            likeliest tokens; of a model's own neurons, the likeliest token less the next likely
            one.
        answer: In the place of ``targets`` the text or the tokens of an answer, or a number
            of tokens of the model's own likeliest continuation; see ``answer_prompt``.

    Raises:
        ConfigError: If a setting lies outside its range.
        PromptError: If the prompt or the answer is empty, too long, or has unknown ids.
        GraphError: If a target is no single token, does not exist, or is given twice, targets are
            given together with an answer, or the graph does not fit into memory.
        ModelError: If an answer is given and the model does not continue texts.

    Example:
        >>> import circuitscope_core as cs
        >>> bundle = cs.load_bundle("models/demo")
        >>> graph = cs.attribute(bundle, "The National Digital Group (N", answer="DG)")
        >>> graph.logit_texts, graph.n_pos - int(graph.target_positions[0])
        (('D', 'G', ')'), 3)

    Source: Ameisen et al. (2025), local replacement model and attribution graphs,
    https://transformer-circuits.pub/2025/attribution-graphs/methods.html
    """
    config = AttributionConfig(max_logits, logit_probability, max_feature_nodes)
    *_, graph = attribution_steps(bundle, prompt, config, targets, answer=answer)
    assert isinstance(graph, AttributionGraph)
    return graph


@checked
def attribution_steps(
    bundle: Explainable | PromptPass,
    prompt: PromptLike,
    config: AttributionConfig,
    targets: Sequence[Target] | None = None,
    against: str | Sequence[int] | None = None,
    answer: Answer | None = None,
) -> Iterator[AttributionProgress | AttributionPlan | AttributionGraph]:
    """Like ``attribute``, but yields progress, then a plan, then the graph.

    Stop asking to cancel.

    Args:
        bundle: As for ``attribute``.
        prompt: As for ``attribute``.
        config: How much is explained.
        targets: As for ``attribute``.
        against: For a model's own neurons: a second prompt, which differs from the first in what
            makes the answer. Those neurons become nodes whose difference favours the answer.
        answer: As for ``attribute``; after a second prompt the model reads it too.

    Raises:
        GraphError: As ``attribute``; also if a second prompt is given for a transcoder.
    """
    bundle, prompt = with_answer(bundle, prompt, targets, answer)
    if isinstance(prompt, AnsweredPrompt):
        targets = targets_of(prompt)
    explained = yield from find_nodes(bundle, prompt, config, targets, against)
    focused, chosen, others = explained.clean, explained.targets, explained.others
    plan = plan_attribution(focused, explained.n_active, len(chosen.layers))
    check_memory(plan, focused.replacement.compute)
    yield replace(plan, neurons=explained.choice is not None)
    step = f"Compute the direct effects on {plan.n_rows:,} features"
    yield AttributionProgress(step, 0, plan.n_rows)
    with torch.no_grad():
        sources = lay_out_sources(focused, explained.rest)
        effects = Effects.empty(plan, sources)
        top, beside = rows_of_outputs(focused, sources, chosen, others)
    filling = fill_feature_rows(focused, sources, effects)
    while True:
        try:
            with torch.no_grad():  # not around the yield, or the caller would inherit it
                done = next(filling)
        except StopIteration:
            break
        yield AttributionProgress(step, done, plan.n_rows)
    yield AttributionProgress("Put the graph together")
    with torch.no_grad(), one_core():
        graph = assemble(explained, effects, top)
        alternatives = None
        if others is not None and beside is not None:
            alternatives = alternatives_of(others, beside.effects.cpu(), graph.n_nodes)
    yield replace(graph, choice=explained.choice, alternatives=alternatives)


@one_line
@dataclass(frozen=True)
class Explained:
    """The question that a graph answers, and its nodes."""

    clean: PromptPass
    """The prompt's pass, whose features are the nodes."""
    targets: LogitTargets
    others: OtherTokens | None
    """Likely tokens that the targets are told from."""
    rest: Rest | None
    """The active features that are no nodes."""
    choice: NeuronChoice | None
    """How nodes were chosen among a model's own neurons; None with a transcoder."""
    n_active: int
    """Features that are active on the prompt; of neurons, the nodes."""


def find_nodes(
    bundle: Explainable | PromptPass,
    prompt: PromptLike,
    config: AttributionConfig,
    targets: Sequence[Target] | None,
    against: str | Sequence[int] | None,
) -> Generator[AttributionProgress, None, Explained]:
    """Run the prompt, and find its targets and nodes; see ``attribution_steps``."""
    yield AttributionProgress("Encode the features")
    clean = run_prompt(bundle, prompt)
    if clean.replacement.transcoder.shape.exact:
        yield AttributionProgress("Choose the neurons")
        nodes = choose_nodes(clean, targets, config, behind(against, clean, prompt))
        n_active = len(nodes.clean.features)
        return Explained(nodes.clean, nodes.targets, None, None, nodes.choice, n_active)
    refuse_second_prompt(against)
    chosen = select_targets(clean, targets, config)
    others, n_active = find_alternatives(clean, chosen), len(clean.features)
    if config.max_feature_nodes is None or config.max_feature_nodes >= n_active:
        return Explained(clean, chosen, others, None, None, n_active)
    yield AttributionProgress("Choose the features")
    kept = choose_features(clean, chosen, others, config.max_feature_nodes)
    with one_core():
        focused, rest = split_features(clean, kept)
    return Explained(focused, chosen, others, rest, None, n_active)


def refuse_second_prompt(against: str | Sequence[int] | None) -> None:
    """Raise a ``GraphError`` if a transcoder's graph is given a second prompt."""
    if against is not None:
        raise GraphError(
            "A second prompt chooses among a model's own neurons; a graph with a transcoder has "
            "all features that are active. Leave it out, and give it to verify_by_patching."
        )


@dataclass(frozen=True)
class Effects:
    """The place in the host's memory where rows are put as they are computed."""

    adjacency: Float[Tensor, "n_nodes n_nodes"]
    bias: Float[Tensor, " n_nodes"]
    rest: Float[Tensor, "n_targets n_rest"]

    @classmethod
    def empty(cls, plan: AttributionPlan, sources: Sources) -> "Effects":
        """Return zeros for a graph's nodes; they take memory as they are written to."""
        n_targets, n_rest = plan.n_rows + plan.n_logits, len(sources.rest_columns)
        adjacency = lazy_zeros(plan.n_nodes, plan.n_nodes)
        bias = torch.zeros(plan.n_nodes, device="cpu", dtype=torch.float32)
        return cls(adjacency, bias, lazy_zeros(n_targets, n_rest))


def rows_of_outputs(
    clean: PromptPass, sources: Sources, chosen: LogitTargets, others: OtherTokens | None
) -> tuple[Rows, Rows | None]:
    """Return the rows of the targets, in their order, and those of the tokens beside them."""
    given, cores = reads_of(chosen), cores_for(clean, len(clean.features))
    asked = [[reads for _, reads in given]]
    asked += [] if others is None else [[part] for part in others.reads.split(cores)]
    rows, *beside = map_on_cores(lambda reads: rows_of(clean, sources, reads), asked, cores)
    places = torch.cat([at for at, _ in given]).argsort()
    own = Rows(rows.effects[places], rows.bias[places], rows.rest[places])
    return own, Rows.joined(beside) if beside else None


def fill_feature_rows(clean: PromptPass, sources: Sources, effects: Effects) -> Iterator[int]:
    """Compute the rows of all features, and yield how many are done."""
    layers = clean.features[:, 0].contiguous()
    n_features, n_pos = len(layers), clean.n_pos
    every = torch.arange(n_features, device=layers.device)

    def fill(nodes: Tensor, rows: Rows) -> int:
        own, counts = layers[nodes].unique_consecutive(return_counts=True)
        # there are no effects from features of a target's layer or above
        below = torch.searchsorted(layers, own).tolist()
        effects.bias[nodes.cpu()] = rows.bias.to(effects.bias)
        parts = zip(own.tolist(), below, nodes.split(counts.tolist()), strict=True)
        first = 0
        for layer, n_below, some in parts:
            last, into = first + len(some), slice(int(some[0]), int(some[-1]) + 1)
            effects.adjacency[into, :n_below] = rows.effects[first:last, :n_below]
            others = slice(n_features, rows.effects.shape[1])
            effects.adjacency[into, others] = rows.effects[first:last, others]
            effects.rest[into, : layer * n_pos] = rows.rest[first:last, : layer * n_pos]
            first = last
        return len(nodes)

    return accumulate(take_feature_rows(clean, sources, every, fill))


def assemble(explained: Explained, effects: Effects, top: Rows) -> AttributionGraph:
    """Put the parts of a graph together; the effects of the rest are a part of ``bias``, too."""
    clean, chosen = explained.clean, explained.targets
    adjacency, bias = effects.adjacency, effects.bias
    n_features, n_columns = len(clean.features), top.effects.shape[1]
    first_logit = len(adjacency) - len(chosen.token_ids)
    adjacency[first_logit:, :n_columns] = top.effects.cpu()
    bias[first_logit:] = top.bias.cpu()
    effects.rest[n_features:] = top.rest.cpu()
    if effects.rest.shape[1]:
        left_out = effects.rest.sum(dim=1)
        bias[:n_features] += left_out[:n_features]
        bias[first_logit:] += left_out[n_features:]
    pre_activations = bias.new_zeros(len(bias))
    pre_activations[:n_features] = clean.pre_activations
    pre_activations[first_logit:] = target_values(clean, chosen)
    # a graph is a value of the host's, wherever its rows were computed
    tokens = torch.stack([chosen.plus_token_ids, chosen.minus_token_ids], dim=1)
    places = (chosen.layers.cpu(), chosen.positions.cpu(), tokens.cpu())
    targets = GraphTargets(chosen.directions.cpu(), *places)
    return AttributionGraph(
        adjacency=adjacency,
        features=clean.features.cpu(),
        activations=clean.activations.cpu(),
        error_vectors=clean.error_vectors.cpu(),
        token_ids=clean.record.token_ids[0].cpu(),
        logit_token_ids=chosen.token_ids.cpu(),
        logit_probabilities=chosen.probabilities.cpu(),
        bias=bias,
        pre_activations=pre_activations,
        token_texts=clean.token_texts,
        logit_texts=chosen.texts,
        prompt=clean.prompt,
        n_active_features=explained.n_active,
        targets=targets,
        rest=effects.rest if effects.rest.shape[1] else None,
    )


def target_values(clean: PromptPass, chosen: LogitTargets) -> Float[Tensor, " n"]:
    """Return each target's value from the model's own forward pass."""
    read = torch.cat([clean.inputs, clean.record.final])[chosen.layers, chosen.positions]
    return (read * chosen.directions).sum(dim=1) + chosen.biases
