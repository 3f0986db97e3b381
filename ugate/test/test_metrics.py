# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Tests for L{ugate.modules.metrics}.
"""

from __future__ import annotations

from prometheus_client.parser import text_string_to_metric_families

from twisted.trial.unittest import SynchronousTestCase

from ugate.errors import Cause
from ugate.flows import Totals
from ugate.modules.metrics import MAX_TENANTS, OTHER, Labels
from ugate.test.adminfakes import AdminCase
from ugate.test.admintenants import FakeResolver
from ugate.test.test_pages import basic


class LabelsTests(SynchronousTestCase):
    """
    Which tenants have values of their own.
    """

    def test_bounded(self) -> None:
        """
        No more than so many; those that have them keep them.
        """
        labels = Labels()
        many = ["root", *(f"t{number}" for number in range(MAX_TENANTS))]
        labels.update(many)
        self.assertEqual("t0", labels["t0"])
        self.assertEqual(OTHER, labels[many[-1]])
        labels.update([each for each in many if each != "t0"])
        self.assertEqual((many[-1], OTHER), (labels[many[-1]], labels["t0"]))
        self.assertEqual("root", labels["root"])


class PageTests(AdminCase):
    """
    The page.
    """

    def order(self, label: str) -> bool:
        """
        The tenant comes first.
        """
        return label not in self.node.tenants

    def values(self, **fields: str) -> dict[tuple[str, ...], float]:
        """
        All values, by their names and labels.
        """
        answer = self.ask("GET", "/metrics", **fields)
        self.assertEqual(200, answer.status, answer.body)
        self.assertTrue(answer.fields["content-type"].startswith("text/plain; version=0.0.4"))
        return {
            (sample.name, *sorted(sample.labels.values(), key=self.order)): sample.value
            for family in text_string_to_metric_families(answer.body.decode())
            for sample in family.samples
        }

    def test_values(self) -> None:
        """
        What there is of streams, of each tenant, and of the node.
        """
        self.node.flows.counted = {"root": Totals(5, 1, 100, 200, 2), "bob": Totals(1, 7, 10, 20, 1)}
        self.node.flows.causes = {("bob", Cause.DENIED): 4, ("bob", Cause.TIMED_OUT): 3}
        values = self.values()
        for key, value in (
            (("ugate_streams", "root"), 2),
            (("ugate_streams_opened_total", "bob"), 1),
            (("ugate_bytes_total", "root", "received"), 200),
            (("ugate_bytes_total", "bob", "sent"), 10),
            (("ugate_streams_refused_total", "bob", "denied"), 4),
            (("ugate_streams_refused_total", "bob", "timed_out"), 3),
            (("ugate_tenants",), 4),
            (("ugate_reloads_total", "bad"), 1),
            (("ugate_config_good",), 1),
            (("ugate_start_time_seconds",), 900),
        ):
            self.assertEqual(value, values[key], key)
        self.assertGreater(values["process_resident_memory_bytes",], 0)

    def test_answers(self) -> None:
        """
        What the resolvers of each tenant have answered.
        """
        self.node.tenants["bob"].resolvers += [FakeResolver(own=1, kept=20), FakeResolver(own=2, failed=3)]
        values = self.values()
        for source, value in (("own", 3), ("kept", 20), ("failed", 3)):
            self.assertEqual(value, values["ugate_dns_answers_total", "bob", source])

    def test_fence(self) -> None:
        """
        A tenant's admin sees what is theirs.
        """
        self.node.flows.counted = {path: Totals(1) for path in ("root", "alice", "alice/dev", "bob")}
        values = self.values(Authorization=basic("dave"), Host="alice.example")
        self.assertEqual({"alice", "alice/dev"}, {key[1] for key in values})

    def test_bad(self) -> None:
        """
        A bad configuration is seen.
        """
        self.node.last.good = False
        self.assertEqual(0, self.values()["ugate_config_good",])

    def test_others(self) -> None:
        """
        The tenants beyond the bound are added up.
        """
        paths = [f"t{number}" for number in range(MAX_TENANTS + 9)]
        self.node.tenants |= dict.fromkeys(paths, self.node.tenants["bob"])
        self.node.flows.counted = {path: Totals(1) for path in self.node.tenants}
        values = self.values()
        opened = {key[1]: value for key, value in values.items() if key[0] == "ugate_streams_opened_total"}
        self.assertEqual((MAX_TENANTS + 1, 13), (len(opened), opened[OTHER]))

    def test_only(self) -> None:
        """
        It is read, and at its place only.
        """
        self.trouble(405, self.ask("POST", "/metrics"))
        self.trouble(404, self.ask("GET", "/metrics/x"))
