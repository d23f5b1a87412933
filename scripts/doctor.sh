#!/bin/sh
# Diagnostics: the same as `make doctor`; see `doctor --help` for options.
root=$(cd "$(dirname "$0")/.." && pwd)
[ -x "$root/.venv/bin/backtracking" ] || make --no-print-directory -C "$root" install || exit 1
exec "$root/.venv/bin/backtracking" doctor "$@"
