"""Write docs/licences.md: the packages that requirements.txt brings, and their licences.

Usage: python docs/make_licences.py

Names, versions that are asked for and licences come from the metadata of what is installed.
"""

from collections.abc import Iterator
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parent.parent
TARGET = ROOT / "docs" / "licences.md"
LONGEST = 60
"""Letters of a licence's name; some packages give its whole text for it."""
REVIEWED = "2026-11-29"
HEAD = f"""# Licences of the packages that CircuitScope needs

CircuitScope is under the Apache License 2.0; [NOTICE](../NOTICE) names the data and the script that
it carries itself. This page lists the packages that `requirements.txt` brings, which are installed
beside it and are no part of it. `python docs/make_licences.py` writes it from the metadata of what
is installed, so what a package needs on another system only may not be listed.

## Known weaknesses

The versions that are asked for were reviewed by hand on {REVIEWED}, and two lower bounds raised:
pyarrow 14.0.0 runs code from a file that it reads (CVE-2023-47248), and filelock before 3.20.1
follows a link that somebody puts in a lock's place (CVE-2025-68146). No database of known
weaknesses could be asked then. Ask one, with the versions that you have, before you offer the app
to others:

```sh
python -m venv out/audit
out/audit/bin/python -m pip install pip-audit
.venv/bin/python -m pip freeze > out/installed.txt
out/audit/bin/pip-audit --no-deps --disable-pip -r out/installed.txt
```

"""


def requirements(path: Path) -> Iterator[Requirement]:
    """Yield the requirements of a file."""
    for line in path.read_text(encoding="utf-8").splitlines():
        text = line.split("#")[0].strip()
        if text and not text.startswith("-"):
            yield Requirement(text)


def licence_of(found: Distribution) -> str:
    """Return a package's licence as its metadata says it, in a line."""
    data = found.metadata
    classified = [
        text.rsplit(" :: ", 1)[1]
        for text in data.get_all("Classifier") or ()
        if text.startswith("License ::") and text != "License :: OSI Approved"
    ]
    said = data.get("License-Expression") or "; ".join(classified) or data.get("License") or ""
    line = next((line.strip() for line in said.splitlines() if line.strip()), "")
    if not line or line.upper() == "UNKNOWN":
        return "not in its metadata"
    return line if len(line) <= LONGEST else f"{line[: LONGEST - 1]}…"


def needed_by(found: Distribution, extras: frozenset[str]) -> Iterator[Requirement]:
    """Yield what a package needs here, with the extras that it is asked for with."""
    for text in found.requires or ():
        item = Requirement(text)
        marks = [{"extra": extra} for extra in ("", *extras)]
        if item.marker is None or any(item.marker.evaluate(mark) for mark in marks):
            yield item


def walk(direct: list[Requirement]) -> dict[str, tuple[Distribution, str]]:
    """Return every package that is needed and installed, and the versions that are asked for."""
    found: dict[str, tuple[Distribution, str]] = {}
    asked = {canonicalize_name(item.name): str(item.specifier) for item in direct}
    waiting = [(item, True) for item in direct]
    while waiting:
        item, must = waiting.pop(0)
        name = canonicalize_name(item.name)
        if name in found:
            continue
        try:
            package = distribution(name)
        except PackageNotFoundError:
            if must:
                raise
            continue
        found[name] = (package, asked.get(name, ""))
        waiting += [(more, False) for more in needed_by(package, frozenset(item.extras))]
    return found


def page() -> str:
    """Return the page."""
    direct = list(requirements(ROOT / "requirements.txt"))
    names = {canonicalize_name(item.name) for item in direct}
    found = walk(direct)
    text = (
        HEAD + "## Packages that are asked for\n\n| package | versions | licence |\n|---|---|---|\n"
    )
    for name in sorted(names):
        package, asked = found[name]
        text += f"| {package.metadata['Name']} | {asked or 'any'} | {licence_of(package)} |\n"
    text += "\n## Packages that those need\n\n| package | licence |\n|---|---|\n"
    for name in sorted(set(found) - names):
        package, _ = found[name]
        text += f"| {package.metadata['Name']} | {licence_of(package)} |\n"
    return text


if __name__ == "__main__":
    TARGET.write_text(page(), encoding="utf-8")
