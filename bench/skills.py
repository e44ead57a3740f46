"""How many exam questions a bundle's model answers whole, by greedy decoding.

Usage: python bench/skills.py [BUNDLE]
"""

import sys
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import circuitscope_core as cs
from circuitscope_core.skills import SKILLS, exam
from circuitscope_core.tokenizer import encode_prompt

N = 200


@torch.no_grad()
def continue_text(bundle, prompt, n_tokens):
    ids = encode_prompt(bundle.tokenizer, prompt, bundle.model.config.n_ctx)
    for _ in range(n_tokens):
        ids.append(int(bundle.model(torch.tensor([ids]))[0, -1].argmax()))
    return bundle.tokenizer.decode(ids[-n_tokens:])


def main():
    bundle = cs.load_bundle(sys.argv[1] if len(sys.argv) > 1 else "models/demo")
    print(f"| skill | whole answers right of {N} held-out questions |")
    print("|---|---|")
    for skill in SKILLS:
        answers = [
            continue_text(bundle, item.prompt, len(bundle.tokenizer.encode(item.answer)))
            == item.answer
            for item in exam(skill, N)
        ]
        print(f"| {skill} | {sum(answers) / N:.0%} |", flush=True)


if __name__ == "__main__":
    main()
