"""``bench circuits``: do graphs show circuits that are known?"""

import argparse
import json

import circuitscope_core as cs
from circuitscope_core.cli.output import count, write
from circuitscope_core.errors import CircuitError
from circuitscope_core.evals.known_circuits import find_programs, train_on_program


def add_circuit_options(parser: argparse.ArgumentParser) -> None:
    """Describe what ``bench circuits`` needs."""
    parser.add_argument("--data", help="circuits: folder of compiled programs (.json and .npz)")
    parser.add_argument(
        "--transcoder",
        choices=("oracle", "trained", "trained-per-layer"),
        default="oracle",
        help="circuits: the MLPs' own neurons, or a transcoder trained on each program",
    )
    parser.add_argument("--inputs", type=count, help="circuits: inputs of each program (all)")


def run_circuits(options: argparse.Namespace) -> int:
    """Score our graphs of every program in a folder."""
    if options.data is None:
        raise CircuitError("bench circuits needs --data FOLDER with compiled programs.")
    rows = []
    for path in find_programs(options.data):
        program = cs.load_program(path)
        if options.transcoder == "oracle":
            replacement = cs.oracle_replacement(program)
        else:
            cross_layer = options.transcoder == "trained"
            replacement = train_on_program(program, cross_layer=cross_layer)
        score = cs.measure_circuit(program, replacement, program.examples[: options.inputs])
        rows.append(score.to_json())
        if not options.json:
            figures = [
                f"{name} {value:.4g}" for name, value in rows[-1].items() if name != "program"
            ]
            write(f"{program.name}: {', '.join(figures)}")
    if options.json:
        write(json.dumps(rows))
    return 0
