# -*- test-case-name: ugate.test.test_cli,ugate.test.test_cli_options -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
The arguments of C{ucli}, made of the operations and the schemas.
"""

from __future__ import annotations

from argparse import SUPPRESS, ArgumentParser, Namespace, RawDescriptionHelpFormatter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import msgspec
from msgspec import NODEFAULT, UNSET, inspect

from ugate import __version__
from ugate.cli import capturearguments
from ugate.cli.authorityarguments import addCommands
from ugate.cli.outcomes import EXITS
from ugate.modules.operations import OPERATIONS, Operation

SHELLS: Final = ("bash", "zsh")

URL: Final = "http://127.0.0.1:15000"

_PREFIX: Final = "field "


@dataclass(frozen=True, slots=True)
class Option:
    """
    One thing that a command takes.
    """

    name: str
    """What it is called on the command line, without dashes."""

    wanted: Any
    """Its type."""

    summary: str
    """What it is."""

    isArgument: bool
    """Whether it has no dashes."""

    isRequired: bool
    """Whether it has to be given."""

    default: Any
    """What it is unless given, for who reads the help."""

    path: tuple[str, ...]
    """Where it goes: the name of a parameter; or C{body} and the keys in there."""

    many: bool = False
    """Whether it may be given several times."""

    choices: tuple[str, ...] = ()
    """The only texts that it may be, if these are few."""


def optionsOf(operation: Operation) -> list[Option]:
    """
    All that the command of an operation takes, but for a file.
    """
    found = [
        Option(
            parameter.name,
            parameter.type,
            parameter.summary,
            parameter.isArgument,
            parameter.default is UNSET,
            None if parameter.default is UNSET else parameter.default,
            (parameter.name,),
        )
        for parameter in operation.parameters
    ]
    if operation.body is not None and not operation.file:
        information = inspect.type_info(operation.body)
        assert isinstance(information, inspect.StructType)
        # Arguments come before options.
        found += sorted(_fields(information, ("body",)), key=lambda option: not option.isArgument)
    return found


def _fields(information: inspect.StructType, path: tuple[str, ...]) -> Iterator[Option]:
    for field in information.fields:
        plain, described = _plain(field.type)
        here = (*path, field.encode_name)
        if isinstance(plain, inspect.StructType):
            yield from _fields(plain, here)
            continue
        many = isinstance(plain, inspect.VarTupleType)
        extra = described.get("extra", {})
        summary = described.get("description", "").rstrip(".")
        yield Option(
            field.encode_name,
            str if many or extra.get("size") else _leaf(plain),
            summary[:1].lower() + summary[1:],
            bool(extra.get("argument")),
            field.default is NODEFAULT and field.default_factory is NODEFAULT,
            None,
            here,
            many,
        )


def _plain(wanted: inspect.Type) -> tuple[inspect.Type, dict[str, Any]]:
    """
    A type without what says that it may be left out, and what is said of it.
    """
    described: dict[str, Any] = {}
    while True:
        if isinstance(wanted, inspect.Metadata):
            schema = {**(wanted.extra_json_schema or {})}
            described = {**schema, "extra": wanted.extra or {}, **described}
            wanted = wanted.type
        elif isinstance(wanted, inspect.UnionType):
            wanted = next(each for each in wanted.types if not isinstance(each, inspect.NoneType))
        else:
            return wanted, described


def _leaf(wanted: inspect.Type) -> Any:
    for kind, leaf in ((inspect.IntType, int), (inspect.FloatType, float), (inspect.BoolType, bool)):
        if isinstance(wanted, kind):
            return leaf
    return str


class _Formatter(RawDescriptionHelpFormatter):
    """
    Help without the empty heading of sub-commands.
    """

    def __init__(self, prog: str, **more: Any) -> None:
        super().__init__(prog, max_help_position=30, **more)


def parser() -> ArgumentParser:
    """
    The parser of all commands.
    """
    exits = "\n".join(f"  {number}  {meaning}" for number, meaning in EXITS.items())
    main = ArgumentParser(
        "ucli",
        description="Look after a ugate node.",
        epilog=f"exit status:\n{exits}",
        formatter_class=_Formatter,
    )
    main.add_argument("--version", action="version", version=f"ucli {__version__}")
    _addCommon(main, isFirst=True)
    commands = main.add_subparsers(dest="command", metavar="COMMAND", required=True)
    groups: dict[str, Any] = {}
    for operation in OPERATIONS:
        *group, word = operation.words.split()
        where = commands
        for name in group:
            if name not in groups:
                made = commands.add_parser(name, help=operation.summary, formatter_class=_Formatter)
                groups[name] = made.add_subparsers(dest="second", metavar="COMMAND", required=True)
            where = groups[name]
        _addCommand(where, word, operation)
    addCommands(commands, _Formatter)
    capturearguments.addCommands(commands, _Formatter)
    completion = commands.add_parser(
        "completion", help="print what completes the commands of a shell", formatter_class=_Formatter
    )
    completion.add_argument("shell", metavar="SHELL", choices=SHELLS, help=" or ".join(SHELLS))
    return main


def _addCommon(where: ArgumentParser, *, isFirst: bool) -> None:
    """
    The options of all commands, which may stand before and behind the name of one.
    """

    def default(value: Any) -> Any:
        return value if isFirst else SUPPRESS

    where.add_argument(
        "--url",
        metavar="URL",
        default=default(None),
        help=f"the node: http://HOST:PORT, https://HOST:PORT or unix:PATH; $UGATE_URL, or else {URL}",
    )
    where.add_argument(
        "--token-file",
        metavar="FILE",
        default=default(None),
        help="the file with a bearer token; $UGATE_TOKEN_FILE",
    )
    where.add_argument(
        "--json", action="store_true", default=default(False), help="print what a program can read"
    )


def _addCommand(where: Any, word: str, operation: Operation) -> None:
    summary = operation.summary.replace("%", "%%")
    made = where.add_parser(
        word, help=summary, description=f"{summary[0].upper()}{summary[1:]}.", formatter_class=_Formatter
    )
    made.set_defaults(operation=operation.name)
    for option in optionsOf(operation):
        _addOption(made, option)
    if operation.file:
        made.add_argument("file", metavar=operation.file, help="the file; - is the standard input")
    if operation.tagged and operation.changes:
        made.add_argument(
            "--tag", metavar="ETAG", help="the tag that get shows: fail if it is another one now"
        )
    if operation.tagged and operation.body is not None:
        made.add_argument("--new", action="store_true", help="fail if it is there already")
    _addCommon(made, isFirst=False)


def _addOption(made: ArgumentParser, option: Option) -> None:
    summary = option.summary.replace("%", "%%")
    if option.default not in (None, ""):
        summary = f"{summary}; {option.default} unless given"
    more: dict[str, Any] = {"help": summary, "dest": keyOf(option)}
    if option.isArgument:
        name = option.name.upper()
        if not option.isRequired:
            more |= {"nargs": "?", "default": option.default}
        made.add_argument(metavar=name, **more)
        return
    if option.many:
        more |= {"action": "append"}
    made.add_argument(
        f"--{option.name}", metavar=option.name.upper(), required=option.isRequired, default=None, **more
    )


def keyOf(option: Option) -> str:
    """
    What an option is called among the parsed ones.
    """
    return _PREFIX + ".".join(option.path)


def collect(operation: Operation, given: Namespace) -> tuple[dict[str, str], dict[str, Any]]:
    """
    What was given.

    @return: the parameters that were, and the body as far as it is made of options.
    @raise ValueError: something is not what it should be; the message says what.
    """
    parameters: dict[str, str] = {}
    body: dict[str, Any] = {}
    for option in optionsOf(operation):
        text = getattr(given, keyOf(option))
        if text is None:
            continue
        try:
            values = [
                msgspec.convert(each, option.wanted, strict=False)
                for each in (text if option.many else [text])
            ]
        except msgspec.ValidationError as error:
            raise ValueError(f"{option.name}: {error}") from error
        if option.path[0] != "body":
            parameters[option.name] = str(text)
            continue
        where = body
        for key in option.path[1:-1]:
            where = where.setdefault(key, {})
        where[option.path[-1]] = values if option.many else values[0]
    return parameters, body
