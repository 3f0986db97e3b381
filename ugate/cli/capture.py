# -*- test-case-name: ugate.test.test_cli_capture -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
The commands C{ucli capture}.
"""

from __future__ import annotations

import os
import re
import select
import signal
import sys
from argparse import Namespace
from collections.abc import Mapping
from typing import Any, Final

import msgspec

from ugate.cli.capturearguments import LISTS
from ugate.cli.outcomes import GOOD, Wrong
from ugate.errors import UgateError
from ugate.modules.capturehold import Hold
from ugate.modules.capturesection import NAME, CaptureSection
from ugate.modules.capturesteps import (
    CannotCapture,
    Step,
    checkMark,
    down,
    isOpen,
    noRoutes,
    take,
    toolFor,
    up,
)
from ugate.tenancy.config.schema import Node

_SIMPLE: Final = ("direction", "mode", "protocols", "port", "failure", "table", "tool")
_LARGEST: Final = 0xFFFFFFFF


def run(given: Namespace) -> int:
    """
    Do what the command line says.

    @return: the exit status.
    @raise UgateError: it cannot be done.
    """
    name = given.name
    if re.fullmatch(NAME, name) is None:
        raise Wrong(f"{name!a}: wanted 1 to 12 letters and digits")
    section, mark = sectionOf(given)
    tool = toolFor(section)
    if given.second == "down":
        take(down(name, section, tool))
        return GOOD
    try:
        checkMark(section, mark)
    except CannotCapture as error:
        raise Wrong(str(error)) from error
    if given.second == "show":
        _show(down(name, section, tool) if given.down else up(name, section, mark, tool), section)
    elif isOpen(section):
        if given.pid is None:
            raise Wrong("--failure open needs --pid, of the process that the rules shall go with")
        holdFor(given.pid, Hold(name, section, mark, tool))
        take(noRoutes(section))
    else:
        take(up(name, section, mark, tool))
    return GOOD


def _show(steps: list[Step], section: CaptureSection) -> None:
    if isOpen(section):
        sys.stdout.write(
            "# held by a process that goes with ugate; nft gives the table flags owner for that\n"
        )
    for step in steps:
        sys.stdout.write(f"{step}\n")
    sys.stdout.flush()


def sectionOf(given: Namespace) -> tuple[CaptureSection, int]:
    """
    What the rules shall be like, by the options and by the configuration that they name.

    @return: also the mark of ugate's own connections.

    @raise Wrong: it is not what it should be.
    """
    document = _document(given.file, given.name) if given.file else {}
    wanted: dict[str, Any] = document.get("capture", {})
    for key in _SIMPLE:
        if getattr(given, key) is not None:
            wanted[key] = getattr(given, key)
    if given.no_ipv6:
        wanted["ipv6"] = False
    for key, prefix in (("include", "only"), ("exclude", "not")):
        selection = wanted.setdefault(key, {})
        for each in LISTS:
            texts = getattr(given, f"{prefix}_{each}")
            if texts:
                selection[f"{each}s"] = texts
            elif isinstance(selection.get(f"{each}s"), (str, int)):
                selection[f"{each}s"] = [selection[f"{each}s"]]
            if f"{each}s" in selection:
                selection[f"{each}s"] = [str(text) for text in selection[f"{each}s"]]
    mark = Node().mark if given.mark is None else _number(given.mark)
    if given.mark is None:
        mark = document.get("mark", mark)
    try:
        return msgspec.convert(wanted, CaptureSection), mark
    except msgspec.ValidationError as error:
        raise Wrong(f"capture.{given.name}: {error}") from error


def _number(text: str) -> int:
    try:
        number = int(text, 0)
    except ValueError:
        number = -1
    if not 0 <= number <= _LARGEST:
        raise Wrong(f"--mark {text}: wanted a number up to {_LARGEST}, as 30055 or 0x7567")
    return number


def _document(path: str, name: str) -> dict[str, Any]:
    """
    The section of a configuration, and the mark that is in there.
    """
    import yaml

    try:
        with open(path, encoding="utf-8") as file:
            document = yaml.safe_load(file)
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise UgateError(f"{path} cannot be read: {error}") from error
    whole: Any = document if isinstance(document, Mapping) else {}
    sections = whole.get("capture")
    if not isinstance(sections, Mapping) or not isinstance(sections.get(name), Mapping):
        raise Wrong(f"{path} has no section capture.{name}")
    found: dict[str, Any] = {"capture": dict(sections[name])}
    node = whole.get("node")
    if isinstance(node, Mapping) and isinstance(node.get("mark"), int):
        found["mark"] = node["mark"]
    return found


def holdFor(pid: int, hold: Hold) -> None:
    """
    Have rules as long as a process is there, or until we are told to end.

    @raise UgateError: there is no such process, or the rules cannot be made.
    """
    try:
        process = os.pidfd_open(pid)
    except OSError as error:
        raise UgateError(f"--pid {pid}: {error.strerror}") from error
    told, tell = os.pipe()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: os.write(tell, b"x") and None)
    try:
        hold.up()
        sys.stderr.write(f"the rules are there as long as process {pid} is\n")
        waiting = select.poll()
        waiting.register(process, select.POLLIN)
        waiting.register(told, select.POLLIN)
        waiting.poll()
    finally:
        hold.down()
        for each in (process, told, tell):
            os.close(each)
