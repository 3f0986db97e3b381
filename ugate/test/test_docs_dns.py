# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
What the page on names says is what there is.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from msgspec import NODEFAULT, inspect

from ugate.modules import (
    dnsanswering,
    dnsdatagrams,
    dnsflows,
    dnsforwarding,
    dnshttp1,
    dnslocal,
    dnspages,
    dnsserving,
    dnsstreams,
)
from ugate.modules.dnssection import DnsSection, DnsUpstream
from ugate.protocols import dnswire
from ugate.tenancy import addressnames, fakeaddresses
from ugate.test.docpages import Pages, blocks, page, table

LISTEN = 'listen: {main: "auto:tcp:1080:interface=127.0.0.1"}\n'


def rows(prefix: str, struct: Any) -> Iterator[list[str]]:
    """
    The keys of a section with their defaults.
    """
    information = inspect.type_info(struct)
    assert isinstance(information, inspect.StructType)
    for field in information.fields:
        default: Any = field.default
        default = ", ".join(default) if isinstance(default, tuple) else default
        if field.required:
            default = "required"
        elif field.default is NODEFAULT or default == "":
            default = "none"
        yield [f"{prefix}.{field.encode_name}", str(default)]
        if field.encode_name == "upstreams":
            yield from rows(f"{prefix}.upstreams[]", DnsUpstream)


class DnsTests(Pages):
    """
    C{doc/dns.rst}.
    """

    def test_keys(self) -> None:
        """
        All keys of a section, with their defaults.
        """
        shown = [row[:2] for row in table(page("dns"), "dns-keys")]
        self.assertEqual([*rows("dns.NAME", DnsSection)], shown)

    def test_limits(self) -> None:
        """
        All limits.
        """
        wanted = [
            str(dnsforwarding.MAX_ASKING),
            str(dnsserving.MAX_WAITING),
            str(dnsserving.MAX_CONNECTIONS),
            str(dnsserving.MAX_UNANSWERED),
            f"{dnsserving.IDLE:g} s",
            str(dnspages.MAX_UNANSWERED),
            str(dnspages.MAX_SIZE),
            str(dnswire.PAYLOAD),
            str(dnsdatagrams.MAX_PORTS),
            str(dnsdatagrams.MAX_GUESSES),
            str(dnsstreams.MAX_UNANSWERED),
            str(dnsstreams.MAX_WAITING),
            str(dnsflows.MAX_WAITING),
            str(dnshttp1.MAX_UNANSWERED),
            f"{dnsstreams.IDLE:g} s",
            str(dnsanswering.MAX_QUICK),
            str(addressnames.MOST),
            str(fakeaddresses.MOST),
            f"{dnslocal.TTL} s, {dnslocal.FAKE_TTL} s",
        ]
        self.assertEqual(wanted, [row[1] for row in table(page("dns"), "dns-limits")])

    def test_times(self) -> None:
        """
        Times in the text.
        """
        text = " ".join(page("dns").split())
        for words in (
            f"does not answer in {dnsforwarding.NEXT:g} seconds",
            f"asked last for {dnsforwarding.REST:g} seconds",
            f"After {dnsforwarding.DEADLINE:g} seconds there is no answer",
            f"if nobody answers in {dnsforwarding.STALE_AFTER:g} seconds",
            f"answers are good for {dnslocal.FAKE_TTL} seconds",
        ):
            self.assertIn(words, text)
        self.assertEqual((600, 120), (addressnames.GRACE, fakeaddresses.REST))
        self.assertIn("ten minutes longer", text)
        self.assertIn("in the last two minutes", text)

    def test_yaml(self) -> None:
        """
        What is shown is a configuration without a mistake.
        """
        folder = Path(self.mktemp())
        folder.mkdir()
        for number, block in enumerate(blocks(page("dns"), "yaml")):
            path = folder / f"{number}.yaml"
            if "/etc/ugate" in block:
                # There is nothing of that here.
                continue
            # What is shown is only a part of one.
            path.write_text(LISTEN + block)
            status, shown, errors = self.ugate("--config", str(path), "--check")
            self.assertEqual((0, ""), (status, errors), block)
            self.assertIn("dns:", shown)
