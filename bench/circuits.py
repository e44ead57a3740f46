"""Known circuits: our graphs with the MLPs' own neurons and with trained transcoders, and files.

Usage: python bench/circuits.py FOLDER [SEEDS]
"""

import json
import sys
import time

import torch

import circuitscope_core as cs
from circuitscope_core.evals.known_circuits import find_programs, train_on_program
from circuitscope_core.evals.known_circuits.measure import output_target
from circuitscope_core.evals.scoring import score_circuit
from circuitscope_core.export.graph_json import graph_to_json


def row(name, transcoder, score, seconds):
    every, strongest = score.every, score.strongest
    cells = (
        name,
        transcoder,
        f"{every.precision:.3f} · {every.recall:.3f}",
        f"{strongest.precision:.3f} · {strongest.recall:.3f}",
        f"{score.average_precision:.3f}",
        f"{score.chance:.2f}",
        f"{score.replacement:.3f}",
        f"{seconds:.0f} s",
    )
    sys.stdout.write(f"| {' | '.join(cells)} |\n")
    sys.stdout.flush()


def file_row(program, replacement):
    """Score files of our graphs, pruned as usual, by what such files can show."""
    found = true = right = 0
    precisions = []
    for example in program.examples:
        target = output_target(program, replacement, example.token_ids)
        graph = cs.attribute(replacement, example.token_ids, targets=[target])
        file = cs.parse_graph_json(json.dumps(graph_to_json(cs.prune_graph(graph))))
        score = score_circuit(file, program)
        found, true = found + score.found, true + score.true
        right += round(score.recall * score.true)
        precisions += [score.average_precision] if score.true else []
    cells = (right / max(1, found), right / max(1, true), sum(precisions) / len(precisions))
    sys.stdout.write(f"| {program.name} | {' | '.join(f'{cell:.3f}' for cell in cells)} |\n")


def main():
    torch.set_num_threads(1)
    seeds = range(int(sys.argv[2]) if len(sys.argv) > 2 else 1)
    programs = [cs.load_program(path) for path in find_programs(sys.argv[1])]
    sys.stdout.write("| program | transcoder | all edges | 98 % of the flow | average precision | ")
    sys.stdout.write("chance | replacement | training |\n|---|---|---|---|---|---|---|---|\n")
    for program in programs:
        oracle = cs.oracle_replacement(program)
        row(program.name, "own neurons", cs.measure_circuit(program, oracle), 0)
        kinds = [(True, seed) for seed in seeds] + [(False, 0)]
        for cross_layer, seed in kinds[: None if program.n_layers > 1 else -1]:
            started = time.perf_counter()
            trained = train_on_program(program, cross_layer=cross_layer, seed=seed)
            seconds = time.perf_counter() - started
            name = f"{'CLT' if cross_layer else 'per layer'}, seed {seed}"
            row(program.name, name, cs.measure_circuit(program, trained), seconds)
    sys.stdout.write("\n| files | precision | recall | average precision |\n|---|---|---|---|\n")
    for program in programs:
        file_row(program, cs.oracle_replacement(program))


if __name__ == "__main__":
    main()
