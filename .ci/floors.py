# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Write the oldest version of each thing that the installed ugate says it works with, as requirements for pip.

C{python .ci/floors.py FILE}
"""

import sys
from importlib.metadata import requires
from pathlib import Path

from packaging.requirements import Requirement


def main(target: Path) -> None:
    """
    Turn each C{NAME>=VERSION} of the core into C{NAME==VERSION}.
    """
    lines = []
    for text in requires("ugate") or ():
        requirement = Requirement(text)
        if requirement.marker is not None and not requirement.marker.evaluate({"extra": ""}):
            continue
        floors = [each.version for each in requirement.specifier if each.operator == ">="]
        if not floors:
            sys.exit(f"setup.py: {requirement.name} has no oldest version; write {requirement.name}>=N")
        extras = f"[{','.join(sorted(requirement.extras))}]" if requirement.extras else ""
        lines.append(f"{requirement.name}{extras}=={floors[0]}\n")
    target.write_text("".join(lines))


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python .ci/floors.py FILE")
    main(Path(sys.argv[1]))
