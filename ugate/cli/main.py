# -*- test-case-name: ugate.test.test_cli,ugate.test.test_cli_options -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
The command C{ucli}.
"""

from __future__ import annotations

import sys
from argparse import Namespace
from collections.abc import Sequence
from typing import Any
from urllib.parse import quote, urlencode

import msgspec

from ugate.cli.arguments import collect, parser
from ugate.cli.outcomes import FORBIDDEN, GOOD, REFUSED, UNREACHABLE, USAGE, Answer, Unreachable, Wrong
from ugate.errors import UgateError
from ugate.modules.operations import BASE, BY_NAME, Operation


def main(arguments: Sequence[str] | None = None) -> int:
    """
    Do what the command line says.

    @return: the exit status.
    """
    given = parser().parse_args(arguments)
    try:
        return _run(given)
    except Wrong as error:
        return _fail(given, USAGE, str(error))
    except Unreachable as error:
        return _fail(given, UNREACHABLE, str(error))
    except UgateError as error:
        return _fail(given, REFUSED, str(error))
    except BrokenPipeError:
        # Whoever read has seen enough, and Python would say so once more at its end.
        sys.stderr.close()
        return GOOD
    except KeyboardInterrupt:
        return 130


def _run(given: Namespace) -> int:
    if given.command == "completion":
        from ugate.cli.completion import script

        sys.stdout.write(script(given.shell))
        return GOOD
    if given.command == "ca":
        from ugate.cli.authority import run

        return run(given)
    if given.command == "capture":
        from ugate.cli.capture import run as capture

        return capture(given)
    operation = BY_NAME[given.operation]
    try:
        parameters, body = collect(operation, given)
    except ValueError as error:
        raise Wrong(str(error)) from error
    data = _body(operation, given, body)
    from ugate.cli.connection import nodeFrom

    node = nodeFrom(given.url, given.token_file)
    try:
        answer = node.ask(
            operation.method, pathOf(operation, parameters), data, _conditions(operation, given)
        )
    except Unreachable:
        if operation.name != "check" or given.url is not None:
            raise
        return _checkHere(given)
    return _say(given, operation, answer)


def pathOf(operation: Operation, parameters: dict[str, str]) -> str:
    """
    The path and the query of a request.
    """
    path = BASE
    for segment in operation.path.strip("/").split("/"):
        name = segment[1:-1]
        text = parameters.pop(name, "") if segment.startswith("{") else segment
        path += f"/{quote(text, safe='')}"
    path = path.rstrip("/")
    query = urlencode({name: text for name, text in parameters.items() if text != ""})
    return f"{path}?{query}" if query else path


def _body(operation: Operation, given: Namespace, body: dict[str, Any]) -> bytes | None:
    if operation.body is None:
        return None
    if not operation.file:
        return msgspec.json.encode(body)
    text = _read(given.file)
    if operation.name == "check":
        return msgspec.json.encode({"text": text, "name": "config.yaml" if given.file == "-" else given.file})
    import yaml

    try:
        # JSON is YAML, too.
        section = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise UgateError(f"{given.file}: {error}") from error
    if not isinstance(section, dict):
        raise UgateError(f"{given.file}: wanted the keys of a section")
    return msgspec.json.encode(section)


def _read(path: str) -> str:
    try:
        if path == "-":
            return sys.stdin.read()
        with open(path, encoding="utf-8") as file:
            return file.read()
    except (OSError, UnicodeDecodeError) as error:
        raise UgateError(f"{path} cannot be read: {error}") from error


def _conditions(operation: Operation, given: Namespace) -> dict[str, str]:
    if not (operation.tagged and operation.changes):
        return {}
    isNew = operation.body is not None and given.new
    if isNew and given.tag:
        raise Wrong("what is new has no tag: give --new or --tag")
    if isNew:
        return {"If-None-Match": "*"}
    return {"If-Match": given.tag} if given.tag else {}


def _checkHere(given: Namespace) -> int:
    """
    Without a node, a file is checked as that would.
    """
    import tempfile
    from pathlib import Path

    from ugate.modules.checking import checkedFile

    path = given.file
    if path != "-":
        normal = checkedFile(path)
    else:
        with tempfile.TemporaryDirectory(prefix="ucli-") as folder:
            copy = Path(folder, "config.yaml")
            copy.write_text(sys.stdin.read(), encoding="utf-8")
            normal = checkedFile(str(copy))
    return _say(given, BY_NAME["check"], Answer(200, {"normal": normal}))


def _say(given: Namespace, operation: Operation, answer: Answer) -> int:
    if not answer.isGood:
        if given.json:
            _print(answer.value)
            return _statusOf(answer)
        problem = answer.value if isinstance(answer.value, dict) else {}
        return _fail(given, _statusOf(answer), str(problem.get("detail", answer.status)))
    if given.json:
        _print(answer.value)
    else:
        from ugate.cli.tables import render

        sys.stdout.write(render(operation, answer.value))
        if answer.tag and operation.name == "get":
            sys.stderr.write(f"tag: {answer.tag}\n")
    sys.stdout.flush()
    return GOOD


def _print(value: Any) -> None:
    sys.stdout.write(msgspec.json.format(msgspec.json.encode(value), indent=2).decode() + "\n")


def _statusOf(answer: Answer) -> int:
    return FORBIDDEN if answer.status in (401, 403) else REFUSED


def _fail(given: Namespace, status: int, message: str) -> int:
    if given.json and status in (USAGE, UNREACHABLE):
        _print({"title": "not reached" if status == UNREACHABLE else "usage", "detail": message})
    sys.stderr.write(f"ucli: {message}\n")
    return status


if __name__ == "__main__":
    sys.exit(main())
