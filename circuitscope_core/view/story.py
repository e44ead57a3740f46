"""The story of a graph: a sentence on what made its likeliest output, computed from its numbers."""

from collections.abc import Iterator
from itertools import pairwise

from circuitscope_core.arguments import checked
from circuitscope_core.attribution import LinkExplanation, explain_link
from circuitscope_core.circuit import Circuit
from circuitscope_core.errors import GraphError
from circuitscope_core.graph import NodeKind
from circuitscope_core.interventions.experiment import Handle, OutputRow, run_experiment
from circuitscope_core.prompt_pass import PromptPass
from circuitscope_core.tokenizer import token_label
from circuitscope_core.tracing import Trace
from circuitscope_core.view.graph_view import EdgeHeads, Outcome, Story
from circuitscope_core.view.paths import strongest_paths
from circuitscope_core.view.words import text_of_word, words_of

N_PATHS = 5
MOST_HEADS = 2
"""Heads that are named for an edge."""
LEAST_PART = 0.15
"""The part of an edge that a way must carry to be named."""
MOSTLY = 0.5
"""The share of an output's kept input from which on it comes mostly from one node."""
IN_PLACE = "stayed in place"


@checked
def tell_story(clean: PromptPass, found: Trace) -> Story:
    """Say where a graph's likeliest output comes from, and what the model says without that.

    The sentence names the node with the largest positive direct effect on the output, the attention
    heads that carried it, and the likeliest token once the node is switched off in the model, where
    everything reacts. Every number in it is the graph's or the model's own.

    Args:
        clean: The prompt's clean pass, in which a graph's neurons are its nodes.
        found: The trace of the same prompt.

    Example:
        >>> import circuitscope_core as cs
        >>> bundle = cs.load_bundle("models/demo")
        >>> clean = cs.run_prompt(bundle, "The National Digital Analytics Group (N")
        >>> found = cs.trace(clean, "The National Digital Analytics Group (N")
        >>> tell_story(clean, found).text.startswith("“D” (100%) comes most strongly from")
        True
    """
    circuit = found.circuit
    output = likeliest_output(circuit)
    source = strongest_input(circuit, output)
    heads = tuple(heads_of_paths(clean, found))
    if source is None:
        text = f"No node that was kept raises {_told_output(circuit, output)}."
        return Story(text, circuit.ids[output], "", heads)
    row, weight, share = source
    name = _told_source(circuit, row)
    outcomes = measure_without(clean, found, row, output)
    mostly = "comes mostly from" if share >= MOSTLY else "comes most strongly from"
    text = f"{_told_output(circuit, output)} {mostly} {name} ({weight:+.1f})".replace("-", "−")
    text += _told_heads(clean, found, row, output) + _told_outcome(circuit, output, outcomes) + "."
    return Story(text, circuit.ids[output], circuit.ids[row], heads, name, outcomes)


def likeliest_output(circuit: Circuit) -> int:
    """Return the row of the output with the largest probability; the first of those without one."""
    rows = circuit.rows_of(NodeKind.LOGIT).tolist()
    chances = circuit.probabilities.nan_to_num(-1.0)
    best: int = max(rows, key=lambda row: (float(chances[row]), -row))
    return best


def strongest_input(circuit: Circuit, output: int) -> tuple[int, float, float] | None:
    """Return row, weight and share of the input that raises an output most; None if none does."""
    edges = circuit.edges
    into = (edges.targets == output).nonzero().flatten().tolist()
    raising = [edge for edge in into if float(edges.weights[edge]) > 0]
    if not raising:
        return None
    best = max(raising, key=lambda edge: float(edges.weights[edge]))
    return int(edges.sources[best]), float(edges.weights[best]), float(edges.shares[best])


# --- heads ---------------------------------------------------------------------------------------


def heads_of_paths(clean: PromptPass, found: Trace) -> Iterator[EdgeHeads]:
    """Yield the names of the heads on the edges of the strongest paths, each edge once."""
    circuit = found.circuit
    pairs = {
        pair: None for path in strongest_paths(circuit, N_PATHS) for pair in pairwise(path.nodes)
    }
    for source, target in pairs:
        if found.graph.node(source).position == found.graph.node(target).position:
            continue
        ways = main_ways(explain_link(clean, found.graph, (source,), (target,)))
        if ways:
            start, end = circuit.row_of[source], circuit.row_of[target]
            yield EdgeHeads(circuit.ids[start], circuit.ids[end], " + ".join(ways))


def main_ways(link: LinkExplanation) -> tuple[str, ...]:
    """Return the heads, or chains of heads, that carried most of an edge, strongest first."""
    carried = [path for path in link.paths if path.weight * link.weight > 0]
    large = [path.text for path in carried if abs(path.weight) >= LEAST_PART * abs(link.weight)]
    return tuple(text for text in large[:MOST_HEADS] if text != IN_PLACE)


# --- the check -----------------------------------------------------------------------------------


def measure_without(clean: PromptPass, found: Trace, row: int, output: int) -> tuple[Outcome, ...]:
    """Return probabilities with a node and without it, at the output's position.

    Nothing is returned where the graph explains no token, or the node cannot be switched off.
    """
    circuit, node = found.circuit, int(found.circuit.index[row])
    try:
        done = run_experiment(found.graph, clean, (Handle((node,), "ablate"),), "iterative")
    except GraphError:
        return ()
    place = circuit.node(output).position
    rows = [item for item in done.outputs if item.position == place]
    if not rows or bool(circuit.probabilities[output].isnan()):
        return ()
    own = _own(circuit, output, rows)
    rest = sorted(
        (item for item in rows if item is not own), key=lambda item: -item.probability_after
    )
    kept = ([own] if own else []) + rest[:3]
    return tuple(
        Outcome(item.token, item.probability_before, item.probability_after) for item in kept
    )


def _own(circuit: Circuit, output: int, rows: list[OutputRow]) -> OutputRow | None:
    name = _plain(circuit, output)
    return next((item for item in rows if item.token == name), None)


# --- words ---------------------------------------------------------------------------------------


def _plain(circuit: Circuit, row: int) -> str:
    return circuit.names[row].removeprefix("“").removesuffix("”")


def _told_output(circuit: Circuit, output: int) -> str:
    chance = float(circuit.probabilities[output])
    name = circuit.names[output]
    return name if chance != chance else f"{name} ({chance:.0%})"


def _told_source(circuit: Circuit, row: int) -> str:
    node = circuit.node(row)
    where = f"“{token_label(circuit.token_texts[node.position])}”"
    if node.kind is NodeKind.TOKEN:
        texts = circuit.token_texts
        word = next(word for word in words_of(texts) if node.position in word)
        part = f" of “{text_of_word(texts, word)}”" if len(word) > 1 else ""
        return f"the token {where}{part}"
    if node.kind is NodeKind.ERROR:
        rest = "the neurons that are no nodes" if circuit.neurons else "an error of the transcoder"
        return f"{rest} at {where}"
    kind = "neuron" if circuit.neurons else "feature"
    label = circuit.labels[row]
    named = f"“{label}”" if label else str(node.feature)
    return f"the {kind} {named} of layer {node.layer} at {where}"


def _told_heads(clean: PromptPass, found: Trace, row: int, output: int) -> str:
    circuit = found.circuit
    source, target = int(circuit.index[row]), int(circuit.index[output])
    if found.graph.node(source).position == found.graph.node(target).position:
        return ""
    ways = main_ways(explain_link(clean, found.graph, (source,), (target,)))
    if not ways:
        return ""
    return f", fetched by head{'s' if len(ways) > 1 else ''} {' and '.join(ways)}"


def _told_outcome(circuit: Circuit, output: int, outcomes: tuple[Outcome, ...]) -> str:
    if not outcomes or outcomes[0].token != _plain(circuit, output):
        return ""
    own, *others = outcomes
    best = max(others, key=lambda item: item.after, default=own)
    if best.after > own.after and len(circuit.output_positions) == 1:
        return f"; switching it off gives “{best.token}” ({best.after:.0%})"
    change = "falls" if own.after < own.before else "rises"
    text = f"; with it switched off, “{own.token}” {change} to {own.after:.0%}"
    if len(circuit.output_positions) > 1 or best.after > own.after:
        return text
    return f"{text} and stays the likeliest"
