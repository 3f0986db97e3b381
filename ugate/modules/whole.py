# -*- test-case-name: ugate.test.test_admin -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
What the admin API says of configurations as such: their schema, and whether one would do.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ugate.errors import UgateError
from ugate.interfaces import INode
from ugate.modules import answers
from ugate.modules.api import Asked
from ugate.modules.changing import mistakesFrom
from ugate.modules.problems import Trouble
from ugate.tenancy.config.jsonschema import jsonSchema


class Whole:
    """
    The operations C{schema} and C{check}.

    @since: ugate NEXT
    """

    def __init__(self, node: INode, check: Callable[[str], str]) -> None:
        """
        @param check: reads a file as at a start, and gives its normal form.
        """
        self.node = node
        self._check = check

    def schema(self, asked: Asked) -> dict[str, Any]:
        """
        The JSON Schema of a configuration file.
        """
        return jsonSchema(self.node.kinds)

    def check(self, asked: Asked) -> answers.Checked:
        """
        Read a configuration as at a start, and open nothing.
        """
        document: answers.Document = asked.body
        # By the way that files go, so that mistakes have their lines.
        with tempfile.TemporaryDirectory(prefix="ugate-check-") as folder:
            path = Path(folder, "check.json" if document.name.endswith(".json") else "check.yaml")
            path.write_text(document.text, encoding="utf-8")
            try:
                normal = self._check(str(path))
            except UgateError as error:
                text = str(error).replace(str(path), document.name)
                raise Trouble(422, text, mistakesFrom(text)) from error
        return answers.Checked(normal)
