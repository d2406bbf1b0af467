# shellcheck shell=bash
# Sourced by scripts that run the commands of a page as a reader pastes them.

# section FILE HEADING : prints what is below the heading, such as "## Python", up to the next one.
section() { awk -v heading="$2" '/^##+ / { inside = $0 == heading; next } inside' "$1"; }

# block NUMBER [LANGUAGES] : prints a fenced block of these languages (a pattern) of standard input, without the indentation of its list;
# fails if there is none.
block() {
    awk -v number="$1" -v languages="^ *\`\`\`(${2:-sh})$" '
        inside && /^ *```$/ { inside = 0; next }
        !inside && /^ *```/ {
            inside = 1
            shown = $0 ~ languages && ++count == number
            found = found || shown
            indentation = index($0, "`")
            next
        }
        shown && inside { print substr($0, indentation) }
        END { exit !found }'
}
