"""Write the oldest versions that requirements.txt allows, as constraints for pip.

Usage: python tests/oldest_requirements.py [--without NAME ...] > constraints.txt

The lower bounds are read from requirements.txt itself, so that the two cannot disagree. A package
that is named after --without is left out, because its oldest version cannot be installed here.
"""

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parent.parent


def requirements(path: Path) -> Iterator[Requirement]:
    """Yield the requirements of a file, without those of the files that it includes."""
    for line in path.read_text(encoding="utf-8").splitlines():
        text = line.split("#")[0].strip()
        if text and not text.startswith("-"):
            yield Requirement(text)


def oldest_versions(path: Path) -> dict[str, str]:
    """Return the lowest version of each requirement that has one, by its name as pip spells it."""
    found = {}
    for item in requirements(path):
        lowest = [part.version for part in item.specifier if part.operator in (">=", "==", "~=")]
        if lowest:
            found[canonicalize_name(item.name)] = lowest[0]
    return found


def main() -> None:
    """Write the constraints."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--without", nargs="*", default=[], metavar="NAME")
    left_out = {canonicalize_name(name) for name in parser.parse_args().without}
    for name, version in sorted(oldest_versions(ROOT / "requirements.txt").items()):
        if name in left_out:
            sys.stderr.write(f"{name}: the oldest allowed, {version}, is not installed here\n")
        else:
            sys.stdout.write(f"{name}=={version}\n")


if __name__ == "__main__":
    main()
