#!/bin/sh
# Commit and push, code to git and data to the DVC remote: the same as `make push`; see `push --help` for options.
root=$(cd "$(dirname "$0")/.." && pwd)
[ -x "$root/.venv/bin/backtracking" ] || make --no-print-directory -C "$root" install || exit 1
exec "$root/.venv/bin/backtracking" push "$@"
