# Source it: `source scripts/activate_env.sh`, in bash or zsh.
#
# Puts the caches of Hugging Face, torch, matplotlib and pip into .cache/, reads .env as data
# (nothing in it is run or expanded, an empty value counts as none) and activates .venv, which no
# PYTHONPATH of the machine may stand before. Of UTF-16 it reads the ASCII letters.

_backtracking_load() {
    [ -z "${ZSH_VERSION:-}" ] || emulate -L sh
    local line name value mark cr
    mark="$(printf '\357\273\277')" cr="$(printf '\r')"
    while IFS= read -r line || [ -n "$line" ]; do
        line="${line#"$mark"}"
        line="${line%"$cr"}"
        line="${line#"${line%%[![:space:]]*}"}"
        case "$line" in
            '' | '#'*) continue ;;
            'export '*) line="${line#export }" ;;
        esac
        name="${line%%=*}"
        name="${name#"${name%%[![:space:]]*}"}"
        name="${name%"${name##*[![:space:]]}"}"
        case "$name" in
            "$line" | '' | [0-9]* | *[!A-Za-z0-9_]*)
                echo ".env: not understood and left out: a line that is no NAME=value" >&2
                continue
                ;;
        esac
        value="${line#*=}"
        value="${value#"${value%%[![:space:]]*}"}"
        case "$value" in
            \"*) value="${value#\"}" && value="${value%%\"*}" ;;
            \'*) value="${value#\'}" && value="${value%%\'*}" ;;
            '#'*) value="" ;;
            *)
                value="${value%%[[:space:]]#*}"
                value="${value%"${value##*[![:space:]]}"}"
                ;;
        esac
        [ -z "$value" ] || export "$name=$value"
    done <<EOF
$(LC_ALL=C tr -d '\000\376\377' < "$1")
EOF
}

_backtracking_activate() {
    local root="$1"
    unset PYTHONPATH PYTHONHOME
    [ ! -f "$root/.env" ] || _backtracking_load "$root/.env"
    export HF_HOME="${HF_HOME:-$root/.cache/huggingface}"
    export TORCH_HOME="${TORCH_HOME:-$root/.cache/torch}"
    export MPLCONFIGDIR="${MPLCONFIGDIR:-$root/.cache/matplotlib}"
    export PIP_CACHE_DIR="${PIP_CACHE_DIR:-$root/.cache/pip}"
    if [ -f "$root/.venv/bin/activate" ]; then
        . "$root/.venv/bin/activate"
    else
        echo "There is no .venv yet: run \`make install\`, then source this again." >&2
    fi
}

if [ -n "${ZSH_VERSION:-}" ]; then
    eval '_backtracking_here="${(%):-%x}"'
else
    _backtracking_here="${BASH_SOURCE[0]}"
fi
if [ -n "${BASH_VERSION:-}" ] && [ "$_backtracking_here" = "$0" ]; then
    echo "Source this script instead of running it: source scripts/activate_env.sh" >&2
    exit 2
fi
_backtracking_activate "$(cd "$(dirname "$_backtracking_here")/.." && pwd)"
unset -f _backtracking_load _backtracking_activate
unset _backtracking_here
