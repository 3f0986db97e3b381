# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
Tests for L{ugate.modules.openapi}, L{ugate.modules.operations} and L{ugate.modules.answers}.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any
from unittest import SkipTest

import msgspec

from twisted.trial.unittest import SynchronousTestCase

from ugate.modules.openapi import describe
from ugate.modules.operations import BASE, OPERATIONS
from ugate.modules.pages import operationsOf
from ugate.tenancy.config.jsonschema import jsonSchema
from ugate.test.adminfakes import KINDS, AdminCase


def references(value: Any) -> Iterator[str]:
    """
    All that a description refers to.
    """
    if isinstance(value, dict):
        if isinstance(value.get("$ref"), str):
            yield value["$ref"]
        for each in value.values():
            yield from references(each)
    elif isinstance(value, list):
        for each in value:
            yield from references(each)


class DescribeTests(SynchronousTestCase):
    """
    The description of the API.
    """

    def setUp(self) -> None:
        self.described = describe()

    def test_valid(self) -> None:
        """
        It is OpenAPI 3.1.
        """
        try:
            from openapi_spec_validator import validate
        except ImportError:
            raise SkipTest("no openapi-spec-validator here: pip install openapi-spec-validator") from None
        validate(self.described)

    def test_references(self) -> None:
        """
        What it refers to is in it.
        """
        found = set(references(self.described))
        self.assertTrue(found)
        for each in found:
            name = each.removeprefix("#/components/schemas/")
            self.assertIn(name, self.described["components"]["schemas"])

    def test_operations(self) -> None:
        """
        Each operation of the table is there, with its parameters, its answer and its problems, under a name
        that is its own.
        """
        names = []
        for path, methods in self.described["paths"].items():
            self.assertTrue(path.startswith(f"{BASE}/"))
            inPath = set(re.findall(r"\{(\w+)\}", path))
            for operation in methods.values():
                names.append(operation["operationId"])
                parameters = operation.get("parameters", [])
                given = {each["name"] for each in parameters if each["in"] == "path"}
                self.assertEqual(inPath, given, path)
                self.assertTrue(all(each["required"] for each in parameters if each["in"] == "path"))
                self.assertTrue({"400", "401", "403"} <= operation["responses"].keys())
        self.assertEqual(len(names), len(set(names)))
        self.assertLessEqual({each.name for each in OPERATIONS}, set(names))
        self.assertIn("getOnly", names)

    def test_words(self) -> None:
        """
        Commands differ, each operation has one line, and each field a description.
        """
        words = [each.words for each in OPERATIONS]
        self.assertEqual(len(words), len(set(words)))
        for operation in OPERATIONS:
            self.assertRegex(operation.summary, r"^[a-z].*[^.]$")
        for name, schema in self.described["components"]["schemas"].items():
            for field, described in schema.get("properties", {}).items():
                self.assertTrue(described, f"{name}.{field}")


class ServedTests(AdminCase):
    """
    The description as the node gives it.
    """

    def test_served(self) -> None:
        """
        It is below the root, with the schema of the configuration that this node knows.
        """
        served = self.ask("GET", "/openapi.json").json
        self.assertEqual("3.1.0", served["openapi"])
        schemas = served["components"]["schemas"]
        plain = msgspec.json.decode(msgspec.json.encode(jsonSchema(KINDS)))
        self.assertEqual(plain, schemas.pop("Configuration"))
        self.assertEqual(describe(), served)
        self.trouble(405, self.ask("POST", "/openapi.json"))
        self.trouble(404, self.ask("GET", "/openapi.json/x"))

    def test_done(self) -> None:
        """
        Something does each operation.
        """
        self.assertEqual([each.name for each in OPERATIONS], list(operationsOf(self.node)))

    def test_statuses(self) -> None:
        """
        Each answer of an operation is of a status that the description has.
        """
        described = describe()["paths"]
        answer = self.ask("GET", "status")
        self.assertIn(str(answer.status), described[f"{BASE}/status"]["get"]["responses"])
        answer = self.ask("POST", "tenants", {"name": "x"})
        self.assertIn(str(answer.status), described[f"{BASE}/tenants"]["post"]["responses"])
