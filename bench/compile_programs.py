"""Compile programs whose circuit is then known, in the format of ``bench circuits --data FOLDER``.

Usage: PYTHON bench/compile_programs.py FOLDER [NAME…]

PYTHON is one that has the compiler: python3.11 -m venv env; env/bin/pip install tracr-pypi. Writes
NAME.json and NAME.npz for each of ``PROGRAMS``, or for those that are named.
"""

import json
import random
import sys
import time
from pathlib import Path

import numpy as np
from tracr.compiler import compiling, lib
from tracr.rasp import rasp

N_EXAMPLES = 60
BOS = "BOS"
TOKENS, INDICES = rasp.tokens, rasp.indices


def numerical(sop):
    return rasp.numerical(sop)


def most_frequent():
    """The token that is most frequent, at every position: the first of the sorted by frequency."""
    by_frequency = lib.make_sort_freq(6)
    first = rasp.Select(INDICES, INDICES, lambda key, _: key == 0)
    return rasp.Aggregate(first, by_frequency).named("most_frequent")


def is_first():
    """Mark each token that did not occur before its place."""
    placed = rasp.SequenceMap(lambda token, place: f"{token}{place}", TOKENS, INDICES)
    earlier = rasp.Select(placed, placed, lambda k, q: k[0] == q[0] and int(k[1:]) < int(q[1:]))
    return rasp.Map(lambda n: n == 0, rasp.SelectorWidth(earlier)).named("is_first")


def palindrome():
    """Mark each place whose token equals the one equally far from the other end."""
    mirrored = lib.make_reverse(TOKENS)
    return rasp.SequenceMap(lambda x, y: x == y, TOKENS, mirrored).named("palindrome")


def like_the_first():
    """Mark each token that equals the first token of the input."""
    first = rasp.Select(INDICES, INDICES, lambda key, _: key == 0)
    begins = rasp.Aggregate(first, TOKENS).named("begins")
    return rasp.SequenceMap(lambda x, y: x == y, TOKENS, begins).named("like_the_first")


def a_less_b():
    """The share of a so far less that of b: two heads that an MLP subtracts."""
    of_a = lib.make_frac_prevs(numerical(rasp.Map(lambda x: float(x == "a"), TOKENS)))
    of_b = lib.make_frac_prevs(numerical(rasp.Map(lambda x: float(x == "b"), TOKENS)))
    return numerical(rasp.LinearSequenceMap(of_a, of_b, 1, -1)).named("a_less_b")


def two_counts():
    """How many a and how many b there are, as one answer."""
    count_a, count_b = lib.make_count(TOKENS, "a"), lib.make_count(TOKENS, "b")
    return rasp.SequenceMap(lambda x, y: f"{x}a{y}b", count_a, count_b).named("two_counts")


def hist_of_hist():
    """How many tokens are as frequent as this one."""
    hist = lib.make_hist()
    return rasp.SelectorWidth(rasp.Select(hist, hist, rasp.Comparison.EQ)).named("hist_of_hist")


def greater():
    """How many tokens are greater than this one."""
    larger = rasp.Select(TOKENS, TOKENS, rasp.Comparison.GT)
    return rasp.SelectorWidth(larger).named("greater")


def even_place():
    """Mark each place whose distance from the end is even."""
    left = rasp.SequenceMap(lambda n, i: (n - i) % 2 == 0, lib.make_length(), INDICES)
    return left.named("even_place")


def maximum():
    """The greatest token, at every position."""
    largest = rasp.Map(lambda n: n == 0, greater()).named("largest")
    return rasp.Aggregate(rasp.Select(largest, largest, lambda key, _: key), TOKENS).named(
        "maximum"
    )


def second_token():
    """The second token of the input, at every position."""
    return rasp.Aggregate(rasp.Select(INDICES, INDICES, lambda key, _: key == 1), TOKENS).named(
        "second_token"
    )


def last_token():
    """The last token of the input, at every position."""
    last = rasp.Select(INDICES, lib.make_length(), lambda key, query: key == query - 1)
    return rasp.Aggregate(last, TOKENS).named("last_token")


def class_hist():
    """How many tokens are of the same class, vowel or not."""
    vowel = rasp.Map(lambda x: x in "ae", TOKENS).named("vowel")
    return rasp.SelectorWidth(rasp.Select(vowel, vowel, rasp.Comparison.EQ)).named("class_hist")


def parity_of_a():
    """Tell an even number of the letter a from an odd one."""
    return rasp.Map(lambda n: n % 2 == 0, lib.make_count(TOKENS, "a")).named("parity_of_a")


def majority():
    """Tell an input with more letters a than b from any other."""
    count_a, count_b = lib.make_count(TOKENS, "a"), lib.make_count(TOKENS, "b")
    return rasp.SequenceMap(lambda x, y: x > y, count_a, count_b).named("majority")


def unlike_mirror():
    """The token at the other end, or a dash where it is the same as here."""
    mirrored = lib.make_reverse(TOKENS)
    return rasp.SequenceMap(lambda x, y: "-" if x == y else y, TOKENS, mirrored).named("unlike")


def weighted_shares():
    """Twice the share of a so far, less half of that of c."""
    of_a = lib.make_frac_prevs(numerical(rasp.Map(lambda x: float(x == "a"), TOKENS)))
    of_c = lib.make_frac_prevs(numerical(rasp.Map(lambda x: float(x == "c"), TOKENS)))
    return numerical(rasp.LinearSequenceMap(of_a, of_c, 2, -0.5)).named("weighted_shares")


def at_most():
    """How many tokens are not greater than this one."""
    return rasp.SelectorWidth(rasp.Select(TOKENS, TOKENS, rasp.Comparison.LEQ)).named("at_most")


def alone():
    """Mark each token that occurs only once."""
    return rasp.Map(lambda n: n == 1, lib.make_hist()).named("alone")


def rank_and_token():
    """A token together with the number of greater ones."""
    return rasp.SequenceMap(lambda n, x: f"{n}.{x}", greater(), TOKENS).named("rank_and_token")


# name: program, vocabulary, longest input without the opening token, causal
PROGRAMS = {
    "shuffle_dyck": (lambda: lib.make_shuffle_dyck(["()"]), "()", 6, False),
    "shuffle_dyck2": (lib.make_shuffle_dyck2, "(){}", 5, False),
    "sort_unique": (lambda: lib.make_sort_unique(TOKENS, TOKENS), [1, 2, 3, 4, 5], 5, False),
    "sort_freq": (lambda: lib.make_sort_freq(5), "abc", 5, False),
    "most_frequent": (most_frequent, "abc", 5, False),
    "count_less_freq": (lambda: lib.make_count_less_freq(2), "abc", 6, False),
    "shift_2": (lambda: lib.shift_by(2, TOKENS).named("shift"), "abcd", 6, True),
    "detect_abc": (lambda: lib.detect_pattern(TOKENS, "abc"), "abc", 6, True),
    "is_first": (is_first, "abc", 6, True),
    "palindrome": (palindrome, "abc", 5, False),
    "like_the_first": (like_the_first, "abc", 6, True),
    "a_less_b": (a_less_b, "abc", 6, True),
    "two_counts": (two_counts, "abc", 5, False),
    "hist_of_hist": (hist_of_hist, "abc", 6, False),
    "greater": (greater, [1, 2, 3, 4], 6, False),
    "even_place": (even_place, "ab", 6, False),
    # compiled when all of the above held, and not looked at before
    "maximum": (maximum, [1, 2, 3, 4], 5, False),
    "second_token": (second_token, "abc", 5, False),
    "last_token": (last_token, "abc", 5, False),
    "class_hist": (class_hist, "abcde", 6, False),
    "parity_of_a": (parity_of_a, "abc", 6, False),
    "majority": (majority, "abc", 6, False),
    "unlike_mirror": (unlike_mirror, "abc", 5, False),
    "weighted_shares": (weighted_shares, "abc", 6, True),
    "at_most": (at_most, [1, 2, 3, 4], 6, False),
    "alone": (alone, "abc", 6, False),
    "rank_and_token": (rank_and_token, [1, 2, 3], 5, False),
    "sort_4": (
        lambda: lib.make_sort(TOKENS, TOKENS, max_seq_len=4, min_key=1).named("sort_4"),
        [1, 2, 3, 4, 5],
        4,
        False,
    ),
    "detect_ba": (lambda: lib.detect_pattern(TOKENS, "ba"), "ab", 6, True),
}


def parts_of(label):
    return label.partition(":")[0]


def weights_of(model):
    """Return the weights by the names and in the shapes of our files."""
    config, params = model.model_config, model.params
    heads, size = config.num_heads, config.key_size
    weights = {
        "W_E": params["token_embed"]["embeddings"],
        "W_pos": params["pos_embed"]["embeddings"],
    }
    d_model = len(model.residual_labels)
    for layer in range(config.num_layers):
        attention, mlp = (f"transformer/layer_{layer}/{part}" for part in ("attn", "mlp"))
        for ours, theirs in (("Wq", "query"), ("Wk", "key"), ("Wv", "value")):
            matrix = params[f"{attention}/{theirs}"]["w"]
            weights[f"l{layer}.attn.{ours}"] = np.reshape(matrix, (d_model, heads, size))
        out = params[f"{attention}/linear"]["w"]
        weights[f"l{layer}.attn.Wo"] = np.reshape(out, (heads, size, d_model))
        weights[f"l{layer}.mlp.W1"] = params[f"{mlp}/linear_1"]["w"]
        weights[f"l{layer}.mlp.W2"] = params[f"{mlp}/linear_2"]["w"]
        linear = [f"{attention}/{name}" for name in ("query", "key", "value", "linear")]
        for name in (*linear, f"{mlp}/linear_1", f"{mlp}/linear_2"):
            assert not np.any(params[name]["b"]), f"{name} has a bias, which our files do not"
    return {name: np.asarray(array, np.float32) for name, array in weights.items()}


def components_of(weights, labels, config):
    """Return what each component reads and writes, from the weights that are not 0."""

    def named(mask):
        return sorted({parts_of(label) for label, used in zip(labels, mask, strict=True) if used})

    found = [
        ("embed", {}, named(weights["W_E"].any(axis=0))),
        ("pos_embed", {}, named(weights["W_pos"].any(axis=0))),
    ]
    for layer in range(config.num_layers):
        for head in range(config.num_heads):
            attn = {part: weights[f"l{layer}.attn.{part}"][:, head] for part in ("Wq", "Wk", "Wv")}
            reads = {part[1]: named(matrix.any(axis=1)) for part, matrix in attn.items()}
            writes = named(weights[f"l{layer}.attn.Wo"][head].any(axis=0))
            found.append((f"L{layer}H{head}", reads, writes))
        reads = {"mlp_in": named(weights[f"l{layer}.mlp.W1"].any(axis=1))}
        found.append((f"L{layer}MLP", reads, named(weights[f"l{layer}.mlp.W2"].any(axis=0))))
    return [item for item in found if item[2]]


def edges_of(components, output):
    """Return every edge on which a variable is written below and read above."""
    stage = {name: place for place, (name, _, _) in enumerate(components)}
    readers = [*components, ("output", {"unembed": [output]}, [])]
    edges = []
    for name, reads, _ in readers:
        for slot, variables in reads.items():
            for source, _, writes in components:
                same_layer = name[:2] == source[:2] and "H" in name and "H" in source
                below = name == "output" or (stage[source] < stage[name] and not same_layer)
                shared = [variable for variable in writes if variable in variables]
                edges += [
                    {"src": source, "dst": name, "slot": slot, "variable": variable, "live": True}
                    for variable in (shared if below else ())
                ]
    return edges


def plain(value):
    return value.item() if hasattr(value, "item") else value


def examples_of(model, program, vocabulary, longest, rng):
    """Return random inputs with what the compiled model puts out; the program must say the same."""
    examples, seen = [], set()
    for _ in range(50 * N_EXAMPLES):
        tokens = rng.choices(vocabulary, k=rng.randint(1, longest))
        if program.label.startswith("sort_unique"):
            tokens = rng.sample(vocabulary, k=len(tokens))
        if tuple(tokens) in seen:
            continue
        seen.add(tuple(tokens))
        given = model.apply([BOS, *tokens]).decoded
        wanted = program(tokens)
        for ours, theirs in zip(given[1:], wanted, strict=True):
            same = abs(ours - theirs) < 1e-3 if isinstance(ours, float) else ours == theirs
            assert theirs is None or same, (tokens, given, wanted)
        ids = model.input_encoder.encode([BOS, *tokens])
        output = [plain(value) for value in given]
        examples.append({"tokens": [BOS, *tokens], "ids": list(map(int, ids)), "output": output})
        if len(examples) == N_EXAMPLES:
            break
    return examples


def outputs_of(model, output, labels):
    """Return the dimensions of the output, and what each stands for; one empty one for a number."""
    dims = [number for number, label in enumerate(labels) if parts_of(label) == output]
    if not hasattr(model.output_encoder, "encoding_map"):
        return dims, [None]
    by_id = {number: value for value, number in model.output_encoder.encoding_map.items()}
    return dims, [str(by_id[number]) for number in range(len(dims))]


def compile_program(name, folder):
    build, vocabulary, longest, causal = PROGRAMS[name]
    program, vocabulary = build(), list(vocabulary)
    model = compiling.compile_rasp_to_model(
        program, set(vocabulary), longest, causal=causal, compiler_bos=BOS
    )
    labels, config, weights = model.residual_labels, model.model_config, weights_of(model)
    output = program.label
    dims, values = outputs_of(model, output, labels)
    components = components_of(weights, labels, config)
    data = {
        "program": name,
        "config": {
            "num_layers": config.num_layers,
            "num_heads": config.num_heads,
            "key_size": config.key_size,
            "mlp_hidden": weights["l0.mlp.W1"].shape[1],
            "d_model": len(labels),
            "causal": causal,
            "activation": "relu",
            "layer_norm": bool(config.layer_norm),
            "max_seq_len": weights["W_pos"].shape[0],
            "bos": BOS,
        },
        "residual_labels": labels,
        "output_variable": output,
        "output_dims": dims,
        "output_values": values,
        "input_encoding": {
            str(token): number for token, number in model.input_encoder.encoding_map.items()
        },
        "components": [
            {"name": part, "reads": reads, "writes": writes} for part, reads, writes in components
        ],
        "edges": edges_of(components, output),
        "examples": examples_of(model, program, vocabulary, longest, random.Random(name)),
    }
    (folder / f"{name}.json").write_text(json.dumps(data), encoding="utf-8")
    np.savez_compressed(folder / f"{name}.npz", **weights)


def main():
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    for name in sys.argv[2:] or PROGRAMS:
        started = time.perf_counter()
        compile_program(name, folder)
        sys.stdout.write(f"{name}: {time.perf_counter() - started:.0f} s\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
