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
from typing import Any, Final

import msgspec

from twisted.plugin import getPlugins

from ugate.cli.capturearguments import LISTS
from ugate.cli.outcomes import GOOD, Wrong
from ugate.errors import UgateError
from ugate.interfaces import IModule
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
from ugate.stream import ROOT
from ugate.tenancy.config.check import Reading
from ugate.tenancy.config.files import FileStore
from ugate.tenancy.config.kinds import kindsOf
from ugate.tenancy.config.mistakes import ConfigError
from ugate.tenancy.config.schema import Node
from ugate.tenancy.config.sections import ONLY

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
    section, mark = _inFile(given.file, given.name) if given.file else (CaptureSection(), Node().mark)
    wanted: dict[str, Any] = msgspec.to_builtins(section)
    for key in _SIMPLE:
        if getattr(given, key) is not None:
            wanted[key] = getattr(given, key)
    if given.no_ipv6:
        wanted["ipv6"] = False
    for key, prefix in (("include", "only"), ("exclude", "not")):
        for each in LISTS:
            texts = getattr(given, f"{prefix}_{each}")
            if texts:
                wanted[key][f"{each}s"] = texts
    if given.mark is not None:
        mark = _number(given.mark)
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


def _inFile(path: str, name: str) -> tuple[CaptureSection, int]:
    """
    A section of a configuration, and the mark that is in there.

    @raise UgateError: there is none, or it cannot be read.
    """
    kinds = kindsOf(getPlugins(IModule))
    store, reading = FileStore(path, kinds), Reading({})

    def read(kind: str, name: str) -> Any:
        written = store.section(ROOT, kind, name).written
        return reading.read(written, kinds.wanted[kind], f"{kind}.{name}".rstrip("."))

    if name not in store.names(ROOT, "capture"):
        raise ConfigError(store.mistakes()) if store.mistakes() else Wrong(f"{path} has no capture.{name}")
    section = read("capture", name)
    node = read("node", ONLY) if store.names(ROOT, "node") else Node()
    if reading.mistakes:
        raise ConfigError(reading.mistakes)
    return section, node.mark


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
