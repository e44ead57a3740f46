"""A Hugging Face model by this project and by circuit-tracer 0.5.0, the same weights in turn.

Usage: CIRCUIT_TRACER_PYTHON=/path/to/python python bench/pretrained_against.py MODEL [--tokens 15]
       [--repeat 2] [--batch 64 256]

The model is a folder of a Llama; features are a random per-layer transcoder as in pretrained.py.
circuit-tracer opens the model with nnsight, at each of the batch sizes; the fastest counts.
"""

import argparse
import json
import os
import sys
import tempfile
from pathlib import Path

from against_circuit_tracer import Tool
from pretrained import MAX_FEATURES, PROMPT, random_transcoder

import circuitscope_core as cs


def prepare(folder, model_folder, n_tokens, batch_size):
    """Write the transcoder and the settings that both tools read."""
    model = cs.load_model(model_folder)
    text = model.tokenizer.encode(f"{PROMPT} Mary. " * 8)
    tokens = [model.tokenizer.separator_id, *text[: n_tokens - 1]]
    cs.save_transcoder(random_transcoder(model, tokens), folder / "transcoder")
    settings = {
        "model": str(readable_by_both(Path(model_folder).resolve(), folder / "model")),
        "n_layers": model.shape.n_layers,
        "tokens": tokens,
        "max_feature_nodes": MAX_FEATURES,
        "batch_size": batch_size,
    }
    (folder / "settings.json").write_text(json.dumps(settings), encoding="utf-8")
    return settings


def readable_by_both(source, target):
    """Link a model's files, its tokenizer named as older releases of transformers know it."""
    target.mkdir()
    for path in source.iterdir():
        (target / path.name).symlink_to(path)
    settings = target / "tokenizer_config.json"
    if settings.is_file():
        found = json.loads(settings.read_text(encoding="utf-8")) | {
            "tokenizer_class": "PreTrainedTokenizerFast"
        }
        settings.unlink()
        settings.write_text(json.dumps(found), encoding="utf-8")
    return target


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model")
    parser.add_argument("--tokens", type=int, default=15)
    parser.add_argument("--repeat", type=int, default=2)
    parser.add_argument("--batch", type=int, nargs="+", default=[64, 256])
    options = parser.parse_args()
    theirs = os.environ.get("CIRCUIT_TRACER_PYTHON")
    print("| tool | features | attribution s | extra MB (mapped) | peak MB |")
    print("|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        settings = prepare(folder, options.model, options.tokens, options.batch[0])
        tools = {"ours": Tool(sys.executable, "pretrained_ours.py", folder)}
        for size in options.batch if theirs else []:
            own = folder / f"batch_{size}"
            own.mkdir()
            (own / "settings.json").write_text(
                json.dumps(settings | {"batch_size": size}), encoding="utf-8"
            )
            (own / "transcoder").symlink_to(folder / "transcoder")
            tools[f"circuit-tracer, batches of {size}"] = Tool(theirs, "pretrained_theirs.py", own)
        for _ in range(1 + options.repeat):
            for tool in tools.values():
                tool.run()
        for name, tool in tools.items():
            tool.close()
            found = tool.figures()
            print(
                f"| {name} | {found['features']:,} | {found['attribute']:.2f} | "
                f"{found['extra']:,.0f} ({found['mapped']:,.0f}) | {found['peak']:,.0f} |"
            )


if __name__ == "__main__":
    main()
