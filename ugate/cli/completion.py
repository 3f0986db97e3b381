# -*- test-case-name: ugate.test.test_cli,ugate.test.test_cli_options -*-
# Copyright (c) ugate contributors.
# See LICENSE for details.

"""
What completes the commands of C{ucli} in a shell, made of its parser.
"""

from __future__ import annotations

from argparse import ArgumentParser, _SubParsersAction
from collections.abc import Iterator

from ugate.cli.arguments import parser

_BASH = """\
# Completion of ucli: source this, or put it into /etc/bash_completion.d
_ucli() {
    local word words=""
    local line="" i
    for ((i = 1; i < COMP_CWORD; i++)); do
        word=${COMP_WORDS[i]}
        case $word in -*) ;; *) line="$line $word" ;; esac
    done
    case "$line" in
CASES
    esac
    COMPREPLY=($(compgen -W "$words" -- "${COMP_WORDS[COMP_CWORD]}"))
    if [ "${#COMPREPLY[@]}" -eq 0 ]; then COMPREPLY=($(compgen -f -- "${COMP_WORDS[COMP_CWORD]}")); fi
}
complete -o filenames -F _ucli ucli
"""


def script(shell: str) -> str:
    """
    The text for a shell.
    """
    cases = []
    for path, words in sorted(_words(parser(), ()), key=lambda each: -len(each[0])):
        # What follows a command are its arguments, and then its options still.
        pattern = "".join(f" {word}" for word in path)
        cases.append(f'        "{pattern}"{"*" if path else ""}) words="{" ".join(words)}" ;;')
    bash = _BASH.replace("CASES", "\n".join(cases))
    if shell == "bash":
        return bash
    return f"#compdef ucli\nautoload -Uz bashcompinit\nbashcompinit\n{bash}"


def _words(made: ArgumentParser, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], list[str]]]:
    """
    What may follow each command.
    """
    words: list[str] = []
    for action in made._actions:
        if isinstance(action, _SubParsersAction):
            words += action.choices
            for name, inner in action.choices.items():
                yield from _words(inner, (*path, name))
        elif action.choices:
            words += map(str, action.choices)
        words += [each for each in action.option_strings if each.startswith("--")]
    yield path, words
