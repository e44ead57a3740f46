"""Features by prompts: the matrix says what each graph says."""

import pytest

import circuitscope_core as cs
from circuitscope_core.errors import GraphError
from circuitscope_core.evals.exam import prompt_text
from circuitscope_core.graph import NodeKind
from circuitscope_core.skills import exam
from tests.demo import bundle


@pytest.fixture(scope="module")
def traces():
    prompts = [prompt_text(bundle().tokenizer, item) for item in exam("acronyms", 3)]
    return [cs.trace(bundle(), prompt) for prompt in prompts]


@pytest.fixture(scope="module")
def matrix(traces):
    return cs.feature_matrix(traces)


def nodes_of(circuit, layer, feature):
    rows = circuit.rows_of(NodeKind.FEATURE).tolist()
    found = [row for row in rows if circuit.node(row).layer == layer]
    return [row for row in found if circuit.node(row).feature == feature]


def test_every_cell_is_that_of_the_prompts_own_graph(traces, matrix):
    for row in matrix.rows:
        for trace, cell in zip(traces, row.cells, strict=True):
            circuit = trace.circuit
            nodes = nodes_of(circuit, row.layer, row.feature)
            assert (cell is None) == (not nodes)
            if cell is not None:
                assert cell.bits == max(float(circuit.ablation_bits[node]) for node in nodes)
                assert cell.influence == pytest.approx(float(circuit.influence[nodes].sum()))


def test_every_kept_feature_is_in_one_row(traces, matrix):
    kept = set()
    for trace in traces:
        circuit = trace.circuit
        for row in circuit.rows_of(NodeKind.FEATURE).tolist():
            kept.add((circuit.node(row).layer, circuit.node(row).feature))
    assert {(row.layer, row.feature) for row in matrix.rows} == kept
    assert len(matrix.rows) == len(kept)


def test_features_of_most_prompts_come_first_and_those_that_do_most(matrix):
    ranks = [(-row.n_prompts, -row.mean_bits) for row in matrix.rows]
    assert ranks == sorted(ranks)
    assert matrix.rows[0].n_prompts >= 2  # acronyms share a feature


def test_rows_of_labels_join_features_of_one_label_and_layer(traces, matrix):
    by_label = cs.feature_matrix(traces, "label")
    names = {(row.layer, row.label) for row in matrix.rows if row.label}
    assert {(row.layer, row.label) for row in by_label.rows if row.label} == names
    total = sum(cell.influence for row in matrix.rows for cell in row.cells if cell)
    joined = sum(cell.influence for row in by_label.rows for cell in row.cells if cell)
    assert joined == pytest.approx(total)


def test_the_table_has_a_column_for_each_prompt_also_where_two_are_equal(traces):
    table = cs.feature_matrix([traces[0], traces[0]]).to_pandas("activation")
    assert len(table.columns) == 7
    assert table.iloc[:, 5].equals(table.iloc[:, 6])
    assert (table["prompts"] == 2).all()


def test_one_graph_alone_is_refused(traces):
    with pytest.raises(GraphError, match="at least two"):
        cs.feature_matrix(traces[:1])


def test_by_rank_the_wanted_letter_of_two_prompts_is_one_node(traces):
    a, b = (trace.pruned for trace in traces[:2])
    by_token = cs.compare_graphs(a, b, same_features=True)
    by_rank = cs.compare_graphs(a, b, same_features=True, outputs="rank")
    outputs = [node for node in by_rank.nodes if node.kind is NodeKind.LOGIT]
    first = next(node for node in outputs if node.in_other)
    texts = [
        graph.logit_texts[half.index - graph.logit_nodes.start]
        for graph, half in ((a.graph, first.a), (b.graph, first.b))
    ]
    best = [
        graph.logit_texts[int(graph.logit_probabilities.argmax())] for graph in (a.graph, b.graph)
    ]
    assert texts == best
    assert texts[0] != texts[1]
    name = by_rank.circuit.names[by_rank.rows[first]]
    assert name == f"“{texts[0]}”|“{texts[1]}”"
    shared = cs.comparison.Side.BOTH
    assert by_rank.edge_counts[shared] > by_token.edge_counts[shared]
