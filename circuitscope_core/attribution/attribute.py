"""``attribute``: the whole way from a prompt to its graph."""

from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float, Int
from torch import Tensor

from circuitscope_core.answers import Answer, AnsweredPrompt, PromptLike
from circuitscope_core.arguments import checked
from circuitscope_core.attribution.alternatives import beside_nodes, find_alternatives
from circuitscope_core.attribution.answered import behind, targets_of, with_answer
from circuitscope_core.attribution.effects import Rows, direction_rows, feature_rows
from circuitscope_core.attribution.neuron_choice import choose_nodes
from circuitscope_core.attribution.sources import Sources, lay_out_sources
from circuitscope_core.attribution.targets import LogitTargets, Target, select_targets
from circuitscope_core.config import AttributionConfig
from circuitscope_core.errors import GraphError
from circuitscope_core.graph import AttributionGraph, GraphTargets, normalize_rows
from circuitscope_core.graph.lazy_memory import lazy_zeros
from circuitscope_core.prompt_pass import PromptPass, run_prompt
from circuitscope_core.replacement import Explainable

ROWS_AT_ONCE = 128
"""With a budget: rows that are normalised together, each a copy."""

EXPANSION_STEPS = 8
"""With a budget: how often the influence estimate is renewed before the budget is used up."""


@dataclass(frozen=True)
class AttributionProgress:
    """How far it is: ``done`` of ``total`` features where the step counts them."""

    step: str
    done: int = 0
    total: int = 0


@dataclass(frozen=True)
class AttributionPlan:
    """What a graph takes, known once the prompt's features are."""

    n_active: int
    """Features active on the prompt."""
    n_rows: int
    """Features whose rows are computed: all, or as many as ``max_feature_nodes`` allows."""
    n_nodes: int
    n_bytes: int
    """Memory at the peak beyond the loaded model, estimated; most of it the graph itself."""
    neurons: bool = False
    """True where the features are neurons of the model itself, of which a graph has a choice."""

    def __str__(self) -> str:
        """Return the plan in words."""
        found = "neurons were chosen" if self.neurons else "features are active"
        size = f"{self.n_bytes / 1e6:,.0f} MB"
        return f"{self.n_active:,} {found}; the graph takes about {size}"


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
        max_logits: At most so many output tokens, where ``targets`` is None.
        logit_probability: Output tokens are taken until they have this probability together.
        max_feature_nodes: Keep only so many features, those with the most influence as estimated
            while their rows are computed; None keeps all.
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
    yield AttributionProgress("Encode the features")
    clean, choice, budget = run_prompt(bundle, prompt), None, config.max_feature_nodes
    if clean.replacement.transcoder.shape.exact:
        yield AttributionProgress("Choose the neurons")
        nodes = choose_nodes(clean, targets, config, behind(against, clean, prompt))
        clean, chosen, choice, budget = nodes.clean, nodes.targets, nodes.choice, None
    else:
        refuse_second_prompt(against)
        chosen = select_targets(clean, targets, config)
    plan = plan_attribution(clean, len(chosen.layers), budget)
    check_memory(plan, clean.replacement.compute.free_bytes())
    yield replace(plan, neurons=choice is not None)
    step = f"Compute the direct effects on {plan.n_rows:,} features"
    yield AttributionProgress(step, 0, plan.n_rows)
    with torch.no_grad():
        sources = lay_out_sources(clean)
        top = target_rows(clean, sources, chosen)
        beside = find_alternatives(clean, sources, chosen) if choice is None else None
        adjacency, effects = lazy_rows(plan, sources.n_columns)
    filling = fill_feature_rows(clean, sources, top, chosen, effects)
    while True:
        try:
            with torch.no_grad():  # not around the yield, or the caller would inherit it
                done = next(filling)
        except StopIteration as end:
            kept, rows = end.value
            break
        yield AttributionProgress(step, done, plan.n_rows)
    yield AttributionProgress("Put the graph together")
    with torch.no_grad():
        graph = assemble(clean, chosen, adjacency, kept, rows, top)
        if beside is not None:
            beside = beside_nodes(beside, graph, kept, len(clean.features))
    yield replace(graph, choice=choice, alternatives=beside)


def refuse_second_prompt(against: str | Sequence[int] | None) -> None:
    """Raise a ``GraphError`` if a transcoder's graph is given a second prompt."""
    if against is not None:
        raise GraphError(
            "A second prompt chooses among a model's own neurons; a graph with a transcoder has "
            "all features that are active. Leave it out, and give it to verify_by_patching."
        )


def lazy_rows(
    plan: AttributionPlan, n_columns: int
) -> tuple[Float[Tensor, "n_nodes n_nodes"], Float[Tensor, "n_rows n_columns"]]:
    """Return a graph's matrix, all 0, and the place where features' rows are computed."""
    adjacency = lazy_zeros(plan.n_nodes, plan.n_nodes)
    if plan.n_rows == plan.n_active:  # rows are computed where they stay
        return adjacency, adjacency[: plan.n_rows, :n_columns]
    return adjacency, lazy_zeros(plan.n_rows, n_columns)


def plan_attribution(
    clean: PromptPass, n_logits: int, max_feature_nodes: int | None
) -> AttributionPlan:
    """Return what a graph will take, from what is active."""
    n_layers, n_pos, d_model = clean.error_vectors.shape
    layers = clean.features[:, 0].contiguous()
    n_active = len(layers)
    n_rows = n_active if max_feature_nodes is None else min(max_feature_nodes, n_active)
    others = n_layers * n_pos + n_pos
    n_nodes = n_rows + others + n_logits
    edges = int(torch.searchsorted(layers, layers).sum())  # each from all features of lower layers
    share = n_rows / max(1, n_active)
    numbers = share**2 * edges + n_rows * others + n_logits * n_nodes
    if n_rows < n_active:  # rows have columns for all features until it is known which stay
        numbers += share * edges + n_rows * others + 2 * n_rows * (n_rows + others)
    shape = clean.replacement.transcoder.shape
    n_writes = int((n_layers - layers).sum()) if shape.cross_layer else n_active
    n_slots = n_layers**2 if shape.cross_layer else n_layers
    numbers += 1.2 * (n_writes + n_slots * n_pos) * d_model
    numbers += 6 * clean.replacement.compute.rows_at_once(n_pos, d_model) * n_pos * d_model
    if shape.exact:  # every neuron's activation, and its shares of what it reads
        numbers += 4 * n_layers * n_pos * shape.n_features
    return AttributionPlan(n_active, n_rows, n_nodes, int(4 * numbers))


def check_memory(plan: AttributionPlan, free: int) -> None:
    """Refuse what will not fit into the memory that is free.

    Raises:
        GraphError: Saying how much there is and what to do.
    """
    if plan.n_bytes > free:
        raise GraphError(
            f"The graph of {plan.n_nodes:,} nodes needs about {plan.n_bytes / 1e9:.1f} GB of "
            f"memory; {free / 1e9:.1f} GB are free. Give a shorter prompt, or keep fewer than "
            f"{plan.n_rows:,} features (max_feature_nodes)."
        )


def target_rows(clean: PromptPass, sources: Sources, chosen: LogitTargets) -> Rows:
    """Return the rows of the targets, in their order."""
    effects = chosen.directions.new_zeros(len(chosen.layers), sources.n_columns)
    bias = effects.new_zeros(len(effects))
    for layer in chosen.layers.unique().tolist():
        at = chosen.layers == layer
        parts = (chosen.positions[at], chosen.directions[at], chosen.biases[at])
        rows = direction_rows(clean, sources, layer, *parts)
        effects[at], bias[at] = rows.effects, rows.bias
    return Rows(effects.cpu(), bias.cpu())


def fill_feature_rows(
    clean: PromptPass,
    sources: Sources,
    top: Rows,
    chosen: LogitTargets,
    effects: Float[Tensor, "n_kept n_columns"],
) -> Generator[int, None, tuple[Int[Tensor, " n_kept"], Rows]]:
    """Fill ``effects`` with the rows of as many features as it has room for.

    Yields how many are done.

    Returns:
        The features, in graph order where they are all, else step by step; their rows.
    """
    n_features, budget = len(clean.features), len(effects)
    layers = clean.features[:, 0].cpu().contiguous()
    bias = effects.new_zeros(budget)
    computed = layers.new_empty(0)
    n_done = 0
    while len(computed) < budget:
        if budget == n_features:
            wanted = torch.arange(n_features, device=layers.device)
        else:
            influence = estimate_influence(clean, top, chosen, computed, effects)
            influence[computed] = -1
            step = min(-(-budget // EXPANSION_STEPS), budget - len(computed))
            wanted = influence[:n_features].topk(step).indices.sort().values
        for nodes, rows in feature_rows(clean, sources, wanted):
            here = slice(n_done, n_done + len(nodes))
            # there are no effects from features of the highest layer or above
            below = int(torch.searchsorted(layers, layers[nodes[-1]]))
            effects[here, :below] = rows.effects[:, :below]
            effects[here, n_features:] = rows.effects[:, n_features:]
            bias[here] = rows.bias
            n_done += len(nodes)
            yield n_done
        computed = torch.cat([computed, wanted])
    return computed, Rows(effects, bias)


def estimate_influence(
    clean: PromptPass,
    top: Rows,
    chosen: LogitTargets,
    computed: Int[Tensor, " n"],
    effects: Float[Tensor, "n_kept n_columns"],
) -> Float[Tensor, " n_columns"]:
    """Return each source's influence over the paths whose rows are known so far."""
    known = top.effects.to(effects.dtype)  # a model in double precision has a graph in single
    influence = chosen.weights.to(known) @ normalize_rows(known)
    layers = clean.features[:, 0].cpu()[computed]
    for layer in range(clean.frozen.n_layers - 1, -1, -1):
        for places in (layers == layer).nonzero()[:, 0].split(ROWS_AT_ONCE):
            influence = influence + influence[computed[places]] @ normalize_rows(effects[places])
    return influence


def assemble(
    clean: PromptPass,
    chosen: LogitTargets,
    adjacency: Float[Tensor, "n_nodes n_nodes"],
    kept: Int[Tensor, " n_kept"],
    rows: Rows,
    top: Rows,
) -> AttributionGraph:
    """Put rows and columns in the graph's order; what features left out give goes into ``bias``."""
    n_all, n_nodes = len(clean.features), len(adjacency)
    n_kept, n_logits = len(kept), len(chosen.token_ids)
    bias, pre_activations = adjacency.new_zeros(n_nodes), adjacency.new_zeros(n_nodes)
    first_logit = n_nodes - n_logits
    if n_kept < n_all:
        order = kept.argsort()
        kept = kept[order]
        left_out = top.effects.new_ones(n_all)
        left_out[kept] = 0
        others = torch.arange(n_all, top.effects.shape[1], device=kept.device)
        columns = torch.cat([kept, others])
        rows, top = (
            Rows(
                part.effects[:, columns],
                part.bias + part.effects[:, :n_all] @ left_out.to(part.effects.dtype),
            )
            for part in (rows, top)
        )
        rows = Rows(rows.effects[order], rows.bias[order])
        adjacency[:n_kept, :first_logit] = rows.effects
    adjacency[first_logit:, :first_logit] = top.effects
    bias[:n_kept], bias[first_logit:] = rows.bias, top.bias
    pre_activations[:n_kept] = clean.pre_activations[kept]
    pre_activations[n_nodes - n_logits :] = target_values(clean, chosen)
    # a graph is a value of the host's, wherever its rows were computed
    tokens = torch.stack([chosen.plus_token_ids, chosen.minus_token_ids], dim=1)
    places = (chosen.layers.cpu(), chosen.positions.cpu(), tokens.cpu())
    targets = GraphTargets(chosen.directions.cpu(), *places)
    return AttributionGraph(
        adjacency=adjacency,
        features=clean.features[kept].cpu(),
        activations=clean.activations[kept].cpu(),
        error_vectors=clean.error_vectors.cpu(),
        token_ids=clean.record.token_ids[0].cpu(),
        logit_token_ids=chosen.token_ids.cpu(),
        logit_probabilities=chosen.probabilities.cpu(),
        bias=bias,
        pre_activations=pre_activations,
        token_texts=clean.token_texts,
        logit_texts=chosen.texts,
        prompt=clean.prompt,
        n_active_features=n_all,
        targets=targets,
    )


def target_values(clean: PromptPass, chosen: LogitTargets) -> Float[Tensor, " n"]:
    """Return each target's value from the model's own forward pass."""
    read = torch.cat([clean.inputs, clean.record.final])[chosen.layers, chosen.positions]
    return (read * chosen.directions).sum(dim=1) + chosen.biases
