"""A graph file small enough to work out by hand, and what to change in it."""

REMOVED = object()


def small_graph():
    """Two tokens, a feature at each, an error and two outputs, as circuit-tracer writes them."""

    def node(name, layer, position, kind, **more):
        return {
            "node_id": name,
            "jsNodeId": name,
            "feature": position,
            "layer": layer,
            "ctx_idx": position,
            "feature_type": kind,
            "clerp": "",
            "influence": None,
            "activation": None,
            "token_prob": 0.0,
            **more,
        }

    clt = "cross layer transcoder"
    logit = {"feature": 7, "token_prob": 0.5, "clerp": 'Output " so" (p=0.500)'}
    return {
        "metadata": {"slug": "s", "scan": "m", "prompt": "ab", "prompt_tokens": ["a", "b"]},
        "qParams": {"pinnedIds": ["0_5_0"], "supernodes": [["both", "0_5_0", "1_6_1"]]},
        "nodes": [
            node("E_1_0", "E", 0, "embedding"),
            node("E_2_1", "E", 1, "embedding"),
            node("0_5_0", "0", 0, clt, activation=1.5, influence=0.6, clerp="first"),
            node("1_6_1", "1", 1, clt, activation=2.5, influence=0.7),
            node("0_-1_1", "0", 1, "mlp reconstruction error", influence=0.8, feature=-1),
            node("3_7_1", "3", 1, "logit", **logit),
            node("3_8_1", "3", 1, "logit", **{**logit, "feature": 8, "token_prob": 0.25}),
        ],
        "links": [
            {"source": "E_1_0", "target": "0_5_0", "weight": 2.0},
            {"source": "0_5_0", "target": "1_6_1", "weight": 3.0},
            {"source": "0_-1_1", "target": "1_6_1", "weight": -1.0},
            {"source": "1_6_1", "target": "3_7_1", "weight": 1.0},
            {"source": "E_2_1", "target": "3_7_1", "weight": -3.0},
            {"source": "E_2_1", "target": "3_8_1", "weight": 0.5},
        ],
    }


def change(path, value):
    """Return the small graph with one place of it changed; REMOVED takes the place out."""
    data = small_graph()
    place = data
    *steps, last = path
    for step in steps:
        place = place[step]
    if value is REMOVED:
        del place[last]
    else:
        place[last] = value
    return data
