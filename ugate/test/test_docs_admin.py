# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
What the pages say of the admin API and of C{ucli} is what there is.
"""

from __future__ import annotations

import re
import shlex
from contextlib import redirect_stderr
from io import StringIO
from typing import Any

import yaml
from msgspec import inspect

from ugate.cli.arguments import optionsOf, parser
from ugate.cli.outcomes import EXITS
from ugate.errors import Cause
from ugate.flows import Totals
from ugate.modules import metrics, serving
from ugate.modules.operations import OPERATIONS
from ugate.modules.sections import AdminSection, HttpSection, RegisterSection, RegistrarSection, RemoteSection
from ugate.test.adminfakes import FakeNode
from ugate.test.admintenants import FakeResolver
from ugate.test.docpages import Pages, blocks, kib, page, pages, table


class AdminTests(Pages):
    """
    C{doc/admin.rst}.
    """

    def test_operations(self) -> None:
        """
        All operations, with who may use them.
        """
        wanted = [
            [
                each.method,
                each.path,
                f"{'root' if each.wholeNode else 'any'}, {'change' if each.changes else 'look'}",
                each.summary,
            ]
            for each in OPERATIONS
        ]
        self.assertEqual(wanted, table(page("admin"), "operations"))

    def test_keys(self) -> None:
        """
        All keys of the sections, with their defaults.
        """
        wanted = []
        kinds = {"http": HttpSection, "admin": AdminSection, "remotes": RemoteSection}
        kinds |= {"registrar": RegistrarSection, "register": RegisterSection}
        for kind, struct in kinds.items():
            information = inspect.type_info(struct)
            assert isinstance(information, inspect.StructType)
            for field in information.fields:
                default: Any = "required" if field.required else field.default
                default = ", ".join(default) if isinstance(default, tuple) else default
                default = str(default).lower() if isinstance(default, bool) else default
                default = f"{default:g}" if isinstance(default, (int, float)) else default
                wanted.append([f"{kind}.NAME.{field.encode_name}", default or "none"])
        rows = table(page("admin"), "module-keys")
        self.assertEqual(wanted, [row[:2] for row in rows])
        self.assertEqual([], [row for row in rows if not row[2]])

    def test_limits(self) -> None:
        """
        All limits.
        """
        wanted = [
            kib(serving.MAX_BODY),
            f"{serving.DEADLINE:g} s",
            str(serving.Channel.maxHeaders),
            str(serving.MAX_CONNECTIONS),
            str(metrics.MAX_TENANTS),
        ]
        self.assertEqual(wanted, [row[1] for row in table(page("admin"), "admin-limits")])

    def test_metrics(self) -> None:
        """
        All metrics, with their labels.
        """
        node: Any = FakeNode(None)
        node.flows.counted = {"root": Totals()}
        node.flows.causes = {("root", Cause.DENIED): 1}
        node.tenants["root"].links.opened["dialed"] = 1
        node.tenants["root"].resolvers.append(FakeResolver(own=1))
        wanted: dict[str, str] = {}
        for family in metrics.familiesOf(node):
            for sample in family.samples:
                wanted.setdefault(sample.name, ", ".join(sample.labels))
        rows = table(page("admin"), "metrics")
        self.assertEqual(
            {name: set(labels.split(", ")) for name, labels in wanted.items()},
            {row[0]: set(row[1].split(", ")) for row in rows},
        )

    def test_yaml(self) -> None:
        """
        The sections that are shown can be read.
        """
        for name in ("admin", "howto/module"):
            for block in blocks(page(name), "yaml"):
                self.assertIsInstance(yaml.safe_load(block), dict)


class CommandTests(Pages):
    """
    C{doc/ucli.rst}, and commands in other pages.
    """

    def test_commands(self) -> None:
        """
        All commands, with their arguments and options.
        """
        wanted = []
        for operation in OPERATIONS:
            options = optionsOf(operation)
            words = [operation.words]
            words += [
                each.name.upper() if each.isRequired else f"[{each.name.upper()}]"
                for each in options
                if each.isArgument
            ]
            words += [operation.file] if operation.file else []
            more = [f"--{each.name}" for each in options if not each.isArgument]
            if operation.tagged and operation.changes:
                more += ["--tag", "--new"] if operation.body is not None else ["--tag"]
            wanted.append([" ".join(words), " ".join(more), operation.summary])
        *rows, completion = table(page("ucli"), "commands")
        self.assertEqual(wanted, rows)
        self.assertEqual("completion SHELL", completion[0])

    def test_exits(self) -> None:
        """
        All exit statuses.
        """
        wanted = [[str(number), meaning] for number, meaning in EXITS.items()]
        self.assertEqual(wanted, table(page("ucli"), "exits"))

    def test_typed(self) -> None:
        """
        What is to be typed is understood.
        """
        seen = 0
        for name, text in pages():
            for line in "".join(blocks(text, "shell")).splitlines():
                for command in re.findall(r"(?:^|[|(] *|-n 1 )(ucli [^|)>&]*)", line):
                    words = shlex.split(re.split(r" 2$", command)[0], comments=True)[1:]
                    if words == ["kill"]:
                        words.append("17")
                    with redirect_stderr(StringIO()) as errors:
                        try:
                            parser().parse_args(words)
                        except SystemExit:
                            self.fail(f"{name}: {command}: {errors.getvalue()}")
                    seen += 1
        self.assertGreater(seen, 12)
