# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
What the pages say of the CA is so.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import msgspec
import yaml
from msgspec import inspect

from ugate.cli.arguments import parser
from ugate.modules import capages, tries
from ugate.modules.capages import AuthorityPages
from ugate.stream import Principal
from ugate.tenancy.ca import inturn, record, requests
from ugate.tenancy.ca.authority import Authority
from ugate.tenancy.ca.folder import makeAuthority
from ugate.tenancy.ca.policy import Rules
from ugate.tenancy.ca.requests import readCSR, readSSHKey
from ugate.tenancy.ca.schema import CaRule, CaSection
from ugate.tenancy.config.identityschema import Identity
from ugate.tenancy.identityenrolled import Enrolled, requestFor
from ugate.test.cafakes import sshOf
from ugate.test.docpages import AUTHORITY, Pages, kib, listing, page, table
from ugate.test.identityfakes import NOW, p256


class Nothing:
    """
    A CA that is asked for nothing.
    """

    def crl(self) -> None:
        """
        None.
        """

    crlDER = krl = crl

    @property
    def lists(self) -> Nothing:
        """
        The same.
        """
        return self


class AuthorityTests(Pages):
    """
    C{doc/ca.rst} and C{doc/howto/authority.rst}.
    """

    def test_keys(self) -> None:
        """
        All keys of the section, with their defaults.
        """
        wanted = []
        for prefix, struct in (("ca.NAME", CaSection), ("ca.NAME.rules[]", CaRule)):
            information = inspect.type_info(struct)
            assert isinstance(information, inspect.StructType)
            for field in information.fields:
                if field.encode_name == "rules":
                    continue
                default: Any = "required" if field.required else field.default
                default = ", ".join(default) if isinstance(default, tuple) else default
                default = f"{default:g}" if isinstance(default, float) else default
                wanted.append([f"{prefix}.{field.encode_name}", default or "none"])
        rows = table(page("ca"), "ca-keys")
        self.assertEqual(wanted, [row[:2] for row in rows])
        self.assertEqual([], [row for row in rows if not row[2]])

    def test_commands(self) -> None:
        """
        All commands, with their arguments and options.
        """
        wanted = []
        main = next(each for each in parser()._actions if isinstance(each, argparse._SubParsersAction))
        second = next(
            each for each in main.choices["ca"]._actions if isinstance(each, argparse._SubParsersAction)
        )
        for action in second._choices_actions:
            made = second.choices[action.dest]
            known = [each for each in made._actions if each.dest != "help"]
            words = [str(each.metavar) for each in known if not each.option_strings]
            options = [each.option_strings[0] for each in known if each.option_strings]
            wanted.append([" ".join([action.dest, *words]), " ".join(options), action.help])
        self.assertEqual(wanted, table(page("ca"), "ca-commands"))

    def test_paths(self) -> None:
        """
        All that there is by HTTP.
        """
        nothing: Any = Nothing()
        pages: Any = AuthorityPages(nothing, nothing, nothing, nothing)
        wanted = {
            *(f"GET {name}" for name in (*pages._shown, "issued")),
            *(f"POST {name}" for name in pages._done),
        }
        rows = table(page("ca"), "ca-paths")
        self.assertEqual({each.strip() for each in wanted}, {row[0].strip() for row in rows})
        for name, (shape, _) in pages._done.items():
            (text,) = (row[2] for row in rows if row[0] == f"POST {name}")
            keys = ", ".join(field.encode_name for field in msgspec.structs.fields(shape))
            self.assertIn(f"``{{{keys}}}``", text)

    def test_limits(self) -> None:
        """
        All limits.
        """
        wanted = [
            kib(capages.MAX_BODY),
            kib(requests.MAX_REQUEST),
            str(requests.MAX_NAMES),
            str(tries.MAX_FAILED),
            str(record.MAX_PER_KEY),
            str(record.MAX_ISSUED),
            str(record.MAX_TOKENS),
            str(capages.MAX_LISTED),
            str(inturn.MAX_WAITING),
            f"{inturn.DEADLINE:g} s",
        ]
        self.assertEqual(wanted, [row[1] for row in table(page("ca"), "ca-limits")])

    def test_howto(self) -> None:
        """
        The CA of the recipe certifies the node of the recipe, its own, and a user.
        """
        folder = Path(self.mktemp()).absolute()
        makeAuthority(str(folder), "CA of corp.example", "corp.example", NOW)
        text = yaml.safe_load(listing("authority.yaml").replace(AUTHORITY, str(folder)))
        rules = [
            msgspec.convert({key: _listed(key, value) for key, value in rule.items()}, CaRule)
            for rule in text["ca"]["main"]["rules"]
        ]
        authority = Authority(str(folder), lambda: NOW)
        self.addCleanup(authority.close)
        asked: list[tuple[dict[str, Any], Any]] = [
            (yaml.safe_load(listing("enrolled.yaml"))["identity"], authority.token("gate", 60)),
            (text["identity"], Principal("operator", "local")),
        ]
        for section, who in asked:
            source = Enrolled(self.mktemp(), msgspec.convert(section, Identity))
            key = source.load().key
            wanted = readCSR(requestFor(key, source.wanted(key)), "corp.example", host=True)
            given = authority.certify(wanted, who, Rules(rules, "corp.example"))
            self.assertEqual((source.wanted(key), True), (given.issued.names, given.issued.host))
        user = readSSHKey(sshOf(p256()), "ssh-user", ["alice"])
        issued = authority.certify(user, Principal("alice", "password"), Rules(rules, "corp.example")).issued
        self.assertEqual(NOW + 28800, issued.ends)


def _listed(key: str, value: Any) -> Any:
    """
    A value of a rule, where one may stand for a list of it.
    """
    return value if key in ("life", "command") or isinstance(value, list) else [value]
