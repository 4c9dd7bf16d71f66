"""Completion: the script that each shell runs, and the answers to it."""

import os

from click.shell_completion import BashComplete, FishComplete, ZshComplete, add_completion_class, split_arg_string

# bash cuts a word at `=` and `:`. So the line goes to mnsim as it was typed up to the cursor, with the part
# of the word that bash would replace; and files are added to the names, for bash's own way (-o default) is
# for when there are no names at all.
_BASH = r"""%(complete_func)s() {
    local IFS=$'\n' response type value part=${COMP_WORDS[COMP_CWORD]}
    [[ $part == [=:] ]] && part=
    part=${part#[\"\']}
    response=$(env COMP_LINE="${COMP_LINE:0:COMP_POINT}" COMP_PART="$part" %(complete_var)s=bash_complete "$1" 2>/dev/null)
    COMPREPLY=()
    while IFS=, read -r type value; do
        case $type in
            plain) COMPREPLY+=("$value") ;;
            open) COMPREPLY+=("$value"); compopt -o nospace ;;
            file) compopt -o filenames; while read -r value; do COMPREPLY+=("$value"); done < <(compgen -f -- "$part") ;;
            dir) compopt -o filenames; while read -r value; do COMPREPLY+=("$value"); done < <(compgen -d -- "$part") ;;
        esac
    done <<< "$response"
}
complete -o nosort -F %(complete_func)s %(prog_name)s
"""


class Bash(BashComplete):
    """bash, from version 4.4 on."""

    source_template = _BASH

    def get_completion_args(self) -> tuple[list[str], str]:
        """The words before the one at the cursor, and that one."""
        *words, word = split_arg_string(f"{os.environ['COMP_LINE']}x")[1:]  # so that a blank at the end starts a word
        return words, word[:-1]

    def complete(self) -> str:
        """The answers, one a line: values without the part of the word that bash keeps."""
        words, word = self.get_completion_args()
        part = os.environ["COMP_PART"]
        before = word[: len(word) - len(part)] if word.endswith(part) else ""
        found = []
        for item in self.get_completions(words, word):
            kind = "open" if item.type == "plain" and item.value.endswith("=") else item.type
            value = item.value
            for start in (before, before.partition("=")[2] if before.startswith("-") else ""):
                if start and value.startswith(start):
                    value = value[len(start) :]
                    break
            found.append(f"{kind},{value}")
        return "\n".join(found)


class Fish(FishComplete):
    """fish: a value may have commas."""

    source_template = FishComplete.source_template.replace('(string split "," $completion)', '(string split --max 1 "," $completion)')


CLASSES = {"bash": Bash, "zsh": ZshComplete, "fish": Fish}


def register() -> None:
    """Make click use these shells."""
    for shell in CLASSES.values():
        add_completion_class(shell)
