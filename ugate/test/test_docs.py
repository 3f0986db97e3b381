# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
The documentation says what is so: its tables are compared with the code, its commands and configurations
are read as ugate reads them.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from msgspec import Struct, inspect

from twisted.internet.address import IPv4Address
from twisted.internet.endpoints import clientFromString, serverFromString
from twisted.internet.testing import MemoryReactorClock

from ugate.endpoints import (
    hops,
    servers,
)
from ugate.endpoints.chain import parseChain
from ugate.endpoints.clients import ChainEndpoint
from ugate.errors import Cause, Phase, Refused
from ugate.interfaces import Auth
from ugate.protocols.httpreply import refusal
from ugate.protocols.socks4 import Socks4
from ugate.protocols.socks5 import Socks5
from ugate.stream import StreamInfo
from ugate.tenancy.config.schema import TYPES
from ugate.tenancy.config.shapes import bare, bounds
from ugate.tenancy.match import parseMatch
from ugate.test.docpages import LISTINGS, Pages, blocks, commands, firstColumn, listing, page, pages, table
from ugate.test.docpages import section as below
from ugate.test.test_layers import LAYERS
from ugate.testing import MemoryMesh
from ugate.welcome import lines

TEXTS: Final = {
    "endpoint": "server string",
    "hops": "hop or chain",
    "target": "HOST:PORT",
    "service": "HOST:PORT",
    "users": "path",
    "tokens": "path",
    "issuers": "path",
    "keys": "path",
    "certificates": "path",
    "roots": "path",
    "servers": "path",
    "known": "path",
    "meshAddress": "node address",
    "nodeName": "name",
    "revoked": "path",
    "revokedKeys": "path",
    "host": "host or \\*.suffix",
    "range": "address or range",
    "who": "text, or a list",
    "pattern": "text, or a list",
    "match": "pattern, or a list",
    "folder": "path",
    "via": "way, or a list",
}
"""What the reference calls a text, by what checks it."""

PREFIXES: Final = {
    "dial": "dial.NAME",
    "listen": "listen.NAME",
    "nodes": "nodes.NAME",
    "serve": "serve.NAME",
    "routes": "routes[]",
    "tenants": "tenants.NAME",
}


def keyRows(prefix: str, struct: type[Struct]) -> Iterator[list[str]]:
    """
    What the reference has to say of keys, but for their meaning; those of what stands in another come
    after it.
    """
    information = inspect.type_info(struct)
    assert isinstance(information, inspect.StructType)
    for field in information.fields:
        name = f"{prefix}.{field.encode_name}"
        inner, _ = bare(field.type)
        if isinstance(inner, inspect.VarTupleType) and "one" not in bare(field.type)[1]:
            inner, _ = bare(inner.item_type)
            name += "[]"
        if isinstance(inner, inspect.StructType):
            yield from keyRows(name, inner.cls)
        else:
            yield keyRow(name, field)


def keyRow(name: str, field: inspect.Field) -> list[str]:
    """
    What the reference has to say of a key, but for its meaning.
    """
    plain, extra = bare(field.type)
    if isinstance(plain, inspect.UnionType):
        plain, extra = bare(next(each for each in plain.types if not isinstance(each, inspect.NoneType)))
    limits, more = "", ""
    if isinstance(plain, inspect.VarTupleType):
        plain, extra = bare(plain.item_type)
        more = ", or a list"
    if "check" in extra:
        sort = TEXTS[extra["check"]].removesuffix(more) + more
    elif isinstance(plain, inspect.LiteralType):
        sort = " or ".join(str(value) for value in plain.values)
    elif isinstance(plain, (inspect.IntType, inspect.FloatType)):
        sort = "whole number" if isinstance(plain, inspect.IntType) else "number"
        sort = "size" if "size" in extra else sort
        limits = "" if "size" in extra else bounds(plain).strip().removeprefix("from ")
    elif isinstance(plain, inspect.StrType):
        sort = f"text{more}"
        limits = f"at most {plain.max_length} characters" if plain.max_length else ""
    else:
        sort = "true or false"
    default: Any = field.default
    if field.required:
        default = "required"
    elif isinstance(default, bool):
        default = str(default).lower()
    elif default is None:
        default = "none"
    elif default == ():
        default = "any" if "rules" in name else "none"
    elif isinstance(default, tuple):
        default = ", ".join(default)
    elif isinstance(default, float):
        default = f"{default:g}"
    return [name, sort, str(extra.get("unit", "")), str(default) or "empty", limits]


class ReferenceTests(Pages):
    """
    Tables of keys, prefixes and keywords.
    """

    def test_keys(self) -> None:
        """
        Every key of the configuration is there, with its type, unit, default and range, and no other.
        """
        wanted: list[list[str]] = []
        for kind, struct in TYPES.items():
            wanted += keyRows(PREFIXES.get(kind, kind), struct)
        rows = table(page("configuration"), "keys")
        self.assertEqual(wanted, [row[:5] for row in rows])
        self.assertEqual([], [row for row in rows if not row[5]])

    def test_servers(self) -> None:
        """
        Every prefix of a server string is there with its keywords, and each keyword is explained.
        """
        text = page("strings")
        rows = {row[0]: set(row[1].split()) for row in table(text, "server-prefixes")}
        self.assertEqual({prefix: set(kind.keywords) for prefix, kind in servers.SERVERS.items()}, rows)
        explained = [row[0] for row in table(text, "server-keywords")]
        self.assertEqual(sorted(set().union(*rows.values())), sorted(explained))

    def test_hops(self) -> None:
        """
        Every prefix of a hop is there with its keywords, and each keyword is explained.
        """
        text = page("strings")
        rows = {row[0]: set(row[2].split()) for row in table(text, "hop-prefixes")}
        self.assertEqual({prefix: set(kind.keywords) for prefix, kind in hops.KINDS.items()}, rows)
        explained = [row[0] for row in table(text, "hop-keywords")]
        self.assertEqual(sorted(set().union(*rows.values())), sorted(explained))

    def test_layers(self) -> None:
        """
        The layers, and what each may import.
        """
        rows = [row[:2] for row in table(page("architecture"), "layers")]
        wanted = [[each.name, ", ".join(each.below) or "nothing of ugate"] for each in LAYERS]
        self.assertEqual(wanted, rows)


class ErrorsTests(Pages):
    """
    What a refusal is on the wire.
    """

    def test_causes(self) -> None:
        """
        Each cause has its codes and its next step.
        """
        address = IPv4Address("TCP", "192.0.2.1", 1080)
        info = StreamInfo(address, address)
        wanted = []
        for cause in Cause:
            reason = Refused(cause, Phase.CONNECT, "db:5432")
            socks5 = Socks5(info, Auth.NONE)
            socks5.receive(b"\x05\x01\x00")
            reply = refusal(reason)
            ((_, proxyStatus),) = reply.fields
            wanted.append(
                [
                    cause.value,
                    str(socks5.refuse(reason)[1]),
                    str(Socks4(info, Auth.NONE).refuse(reason)[1]),
                    str(reply.status),
                    proxyStatus.decode().rpartition("=")[2],
                    reason.nextStep,
                ]
            )
        self.assertEqual(wanted, table(page("errors"), "causes"))

    def test_phases(self) -> None:
        """
        Each phase is there.
        """
        rows = table(page("errors"), "phases")
        self.assertEqual([phase.value for phase in Phase], [row[0] for row in rows])


class StringsTests(Pages):
    """
    The examples of strings.
    """

    def test_servers(self) -> None:
        """
        What a server string may end with can be read, in front of it C{auto:}; files and sockets aside.
        """
        examples = firstColumn(below(page("strings"), "Server strings"))
        plain = [each for each in examples if not each.startswith(("systemd:", "ssl:", "tls:"))]
        self.assertGreater(len(plain), 4)
        for each in plain:
            serverFromString(MemoryReactorClock(), f"auto:{each}")

    def test_chains(self) -> None:
        """
        The chains can be read, and two of them are the same.
        """
        examples = firstColumn(below(page("strings"), "Chains"))
        first, _, same, *_ = [parseChain(each) for each in examples]
        self.assertEqual(first, same)

    def test_clients(self) -> None:
        """
        The client strings are endpoints.
        """
        (block, *_) = blocks(below(page("strings"), "Client strings"), "text")
        for each in block.splitlines():
            self.assertIsInstance(clientFromString(MemoryReactorClock(), each), ChainEndpoint)

    def test_patterns(self) -> None:
        """
        The patterns of routes can be read.
        """
        examples = firstColumn(below(page("strings"), "Routes"))
        self.assertEqual(12, len(examples))
        for each in examples:
            parseMatch(each)


class CommandsTests(Pages):
    """
    What is to be typed.
    """

    def _arguments(self, words: list[str]) -> list[str]:
        """
        The same with configurations that are there, and what ssh fills in.
        """
        found = []
        for word in words:
            if word in ("/etc/ugate", "/etc/ugate/ugate.yaml", "$new"):
                word = "everything.yaml"
            known = word.endswith(".yaml")
            found.append(self.configuration(word) if known else word.replace("%h", "db").replace("%p", "22"))
        return found

    def test_all(self) -> None:
        """
        Each C{twistd ugate} of the pages, and of the files that they show, is understood.
        """
        seen = 0
        sources = [(name, block) for name, text in pages() for block in blocks(text, "shell")]
        sources += [(name, listing(name)) for name in ("ssh_config", "deploy.sh", "ugate.service")]
        for name, text in sources:
            for words in commands(text):
                status, _, errors = self.ugate(*self._arguments(words), "--check")
                self.assertEqual((0, ""), (status, errors), (name, words))
                seen += 1
        self.assertGreater(seen, 15)

    def test_configurations(self) -> None:
        """
        Each configuration is without a mistake, and so is each one within a page.
        """
        paths = [path.name for path in sorted(LISTINGS.glob("*.yaml")) if path.name != "mistakes.yaml"]
        self.assertGreater(len(paths), 6)
        for name in paths:
            status, _, errors = self.ugate("--config", self.configuration(name), "--check")
            self.assertEqual((0, ""), (status, errors), name)

    def test_mistakes(self) -> None:
        """
        The mistakes that are shown are those that are told.
        """
        path = self.configuration("mistakes.yaml")
        status, _, errors = self.ugate("--config", path, "--check")
        self.assertEqual((1, listing("mistakes.txt")), (status, errors.replace(path, "mistakes.yaml")))

    def test_explanation(self) -> None:
        """
        The explanation that is shown is the one that is given.
        """
        status, said, _ = self.ugate(
            "--config", self.configuration("chain.yaml"), "--explain", "db.abroad.example:5432"
        )
        self.assertEqual((0, listing("chain.txt")), (status, said))

    def test_welcome(self) -> None:
        """
        The README shows the lines that are printed.
        """
        gate = MemoryMesh().gateway("gate", listen={"main": "auto:tcp:1080:interface=127.0.0.1"})
        printed = "".join(f"{line}\n" for line in lines(gate, lambda name: name))
        (readme,) = (text for name, text in pages() if name == "README.rst")
        self.assertEqual(printed, blocks(readme, "text")[0])
