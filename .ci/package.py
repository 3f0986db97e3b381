# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Build ugate, install it where nothing of it is known, and see that C{twistd} offers it.

C{python .ci/package.py DIRECTORY}

It makes the source archive, the wheel out of it, and an environment for the wheel, all in DIRECTORY (empty or
absent); then an environment for an editable install of this checkout.
"""

from __future__ import annotations

import subprocess
import sys
import venv
from collections.abc import Sequence
from pathlib import Path
from zipfile import ZipFile

PLUGIN = "twisted/plugins/ugate_plugin.py"
WANTED = {"ugate/__init__.py", "ugate/py.typed", PLUGIN}
UNWANTED = ("twisted/__init__.py", "twisted/plugins/__init__.py", "ugate/newsfragments/", "bench/", "doc/")


def run(command: Sequence[str | Path], cwd: Path) -> str:
    """
    Run a program; its output is shown only when it fails, and then that is the end.

    @return: what it printed.
    """
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{' '.join(map(str, command))}\n{done.stdout}{done.stderr}\nexit status {done.returncode}")
    return done.stdout


def checkWheel(wheel: Path) -> None:
    """
    See that a wheel holds what it should and no more.
    """
    with ZipFile(wheel) as archive:
        names = set(archive.namelist())
    missing = WANTED - names
    if missing:
        sys.exit(f"{wheel.name} lacks {', '.join(sorted(missing))}: see packages in setup.py")
    strays = sorted(name for name in names if name.startswith(UNWANTED))
    if strays:
        sys.exit(f"{wheel.name} must not hold {', '.join(strays)}")


def checkInstalled(where: Path, what: Sequence[str | Path]) -> None:
    """
    Install into a new environment and see that its C{twistd} lists ugate.

    @param where: the environment to make.
    @param what: the arguments of C{pip install}.
    """
    venv.create(where, with_pip=True)
    run([where / "bin/pip", "install", "--quiet", *what], where)
    run([where / "bin/pip", "check"], where)
    lines = run([where / "bin/twistd", "--help"], where).splitlines()
    if not any(line.split()[:1] == ["ugate"] for line in lines):
        sys.exit(
            f"twistd does not know ugate after pip install {' '.join(map(str, what))}: is {PLUGIN} found?"
        )
    run([where / "bin/twistd", "ugate", "--help"], where)


def main(directory: Path) -> None:
    """
    Do all of it.
    """
    directory = directory.resolve()
    checkout = Path(__file__).resolve().parent.parent
    if directory.exists() and any(directory.iterdir()):
        sys.exit(f"{directory} is not empty: name a directory that can be made")
    directory.mkdir(parents=True, exist_ok=True)
    run([sys.executable, "-m", "build", "--outdir", directory, checkout], checkout)
    (wheel,) = directory.glob("*.whl")
    checkWheel(wheel)
    checkInstalled(directory / "installed", [wheel])
    print(f"{wheel.name}: twistd offers ugate")
    checkInstalled(directory / "editable", ["--editable", checkout])
    print("editable install: twistd offers ugate")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python .ci/package.py DIRECTORY")
    main(Path(sys.argv[1]))
