# What the person at the terminal is told.
# One line a step, printed as it begins and finished with the seconds it took.

STEP_IS_OPEN=no

say() { printf '%s\n' "$*"; }

warn() {
    close_step
    printf 'khata: %s\n' "$*" >&2
}

# Ends the run. What went wrong comes first, what to do about it in the same breath.
fail() {
    warn "$*"
    exit 1
}

# A failure while a step is open must not continue the step's half-written line.
close_step() {
    if [[ $STEP_IS_OPEN == yes ]]; then
        printf '\n'
        STEP_IS_OPEN=no
    fi
}

# step WHAT COMMAND… : the command says nothing itself unless it fails.
step() { step_since "$EPOCHREALTIME" "$@"; }

# step_since BEGAN WHAT COMMAND… : for work that was set off before it is waited for.
step_since() {
    local began=$1 what=$2
    shift 2
    printf '  %s … ' "$what"
    STEP_IS_OPEN=yes
    "$@"
    STEP_IS_OPEN=no
    printf '%s s\n' "$(seconds_since "$began")"
}

# Seconds with one decimal since an earlier $EPOCHREALTIME.
seconds_since() {
    local tenths=$(((${EPOCHREALTIME/./} - ${1/./}) / 100000))
    printf '%d.%d' $((tenths / 10)) $((tenths % 10))
}
