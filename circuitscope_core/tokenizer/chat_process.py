"""Runs one chat template in a process that may take little time and memory.

It is started by its path, so that it imports nothing of CircuitScope, and speaks JSON.
"""

import contextlib
import datetime
import json
import sys
from typing import Any

from jinja2 import TemplateError, nodes
from jinja2.ext import Extension
from jinja2.parser import Parser
from jinja2.sandbox import ImmutableSandboxedEnvironment

CPU_SECONDS = 4
MOST_BYTES = 1 << 30


class Generation(Extension):
    """The tag ``generation``, which marks answers for training and changes no text."""

    tags = {"generation"}  # noqa: RUF012  # Jinja's own way

    def parse(self, parser: Parser) -> list[nodes.Node]:
        """Return what stands in the tag."""
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)


def limit() -> None:
    """Have the system end this process when it takes too much; Windows has no such limits."""
    with contextlib.suppress(ImportError, ValueError, OSError):
        import resource

        resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS, CPU_SECONDS))
        resource.setrlimit(resource.RLIMIT_AS, (MOST_BYTES, MOST_BYTES))


def fail(reason: str) -> None:
    """Let a template refuse its messages."""
    raise TemplateError(reason)


def now(form: str) -> str:
    """Return the time in the form that a template asks for."""
    return datetime.datetime.now().strftime(form)  # the reader's own day


def to_json(value: Any, indent: int | None = None) -> str:
    """Return JSON without HTML's escapes, which the models were not tuned on."""
    return json.dumps(value, ensure_ascii=False, indent=indent)


def render(asked: dict[str, Any]) -> list[str]:
    """Return the text of every chat."""
    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True,
        lstrip_blocks=True,
        extensions=[Generation, "jinja2.ext.loopcontrols"],
    )
    environment.filters["tojson"] = to_json
    environment.globals.update(raise_exception=fail, strftime_now=now)
    template = environment.from_string(asked["template"])
    shared = {**asked["variables"], "tools": None, "documents": None, "add_generation_prompt": True}
    return [
        bounded(template.generate(messages=messages, **shared), asked["longest"])
        for messages in asked["chats"]
    ]


def bounded(pieces: Any, longest: int) -> str:
    """Return pieces as one text, as long as it is not too long."""
    found, length = [], 0
    for piece in pieces:
        length += len(piece)
        if length > longest:
            raise TemplateError(f"its text has more than {longest:,} characters")
        found.append(piece)
    return "".join(found)


def main() -> None:
    """Read a template and chats, and write texts or the reason why there are none."""
    asked = json.loads(sys.stdin.buffer.read())
    limit()
    answer: dict[str, Any]
    try:
        answer = {"texts": render(asked)}
    except Exception as error:  # a template may raise anything
        answer = {"error": str(error) or type(error).__name__}
    sys.stdout.buffer.write(json.dumps(answer).encode())


if __name__ == "__main__":
    main()
