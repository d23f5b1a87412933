#!/usr/bin/env bash
# A study on a machine that may go: clone, install, restore, then `watch` beside `reproduce`, and a
# backup at the end or on notice (SIGTERM, SIGINT or SIGUSR1 to this process). Started again, in the
# same folder or on another machine, it goes on. The recipes beside it call it with:
#
#   STUDY_REPOSITORY  address that git clones from and pushes to, without keys in it
#   STUDY_COMMIT      where the study begins
#   STUDY_FOLDER      of the checkout; its parent is there
#   STUDY_OVERLAYS    overlays of configs/ in order, by spaces; none: params.yaml of that commit
#   STUDY_NAME        the work is on the branch run/NAME; by default named after the overlays
#   STUDY_REMOTE      of DVC, such as s3://BUCKET/PATH; by default the commit's
#   STUDY_ENDPOINT    of an S3-compatible service
#   STUDY_DEADLINE    time of a backup after a notice; 90s
#   STUDY_WATCH       further options of `watch`, such as --aws
#   STUDY_AFTER       a command of bash for the very end; its $1 is the exit status
#
# Keys are in the environment (.env.example names them) and are written nowhere.
#
# Exit status: 75 interrupted, what there is was saved as well as there was time for; else that of
# the step that failed; 1 where the study ended and is not saved; 0 where it is.
# shellcheck disable=SC2317 # traps call functions, too
set -uo pipefail

INTERRUPTED=75
child="" watching="" running="" notice=""

main() {
    local code=0
    check_settings
    trap 'interrupted' TERM INT USR1
    prepare || code=$?
    [ "$code" != 0 ] || study || code=$?
    after "$code"
    exit "$code"
}

say() { printf '%s  run.sh: %s\n' "$(date +%T)" "$*" >&2; }

refuse() { say "$*"; exit 2; }

check_settings() {
    local name
    for name in STUDY_REPOSITORY STUDY_COMMIT STUDY_FOLDER; do
        [ -n "${!name:-}" ] || refuse "$name is not set; the head of run.sh says what it is."
    done
    case "$STUDY_REPOSITORY" in
        http*://*@*) refuse "STUDY_REPOSITORY has a key in it, which git would write down: see docs/operations.md." ;;
    esac
    overlays=${STUDY_OVERLAYS:-} deadline=${STUDY_DEADLINE:-90s} folder=$STUDY_FOLDER
    branch=run/${STUDY_NAME:-${overlays:+${overlays// /-}}}
    [ "$branch" != run/ ] || branch=run/default
    tool=.venv/bin/backtracking
}

# --- until the study runs there is nothing to save: a signal ends it at once

interrupted() {
    say "interrupted before the study began"
    [ -z "$child" ] || kill -TERM "$child" 2>/dev/null
    after "$INTERRUPTED"
    exit "$INTERRUPTED"
}

step() { # a command that the trap can end
    "$@" &
    child=$!
    finish "$child"
}

prepare() {
    check_out && cd "$folder" && check_branch && step make install || return
    if [ -n "${STUDY_REMOTE:-}" ]; then
        step "$tool" remote set "$STUDY_REMOTE" ${STUDY_ENDPOINT:+--endpoint "$STUDY_ENDPOINT"} || return
    fi
    step "$tool" restore || say "not all came back (above); what did not is made again"
    use_overlays && step "$tool" doctor
}

check_out() { # on a branch of its own, from where it was left, else from its commit
    [ ! -d "$folder/.git" ] || return 0
    local part=$folder.part start=$STUDY_COMMIT
    rm -rf "$part"
    step git clone --quiet "$STUDY_REPOSITORY" "$part" || return
    ! git -C "$part" rev-parse --quiet --verify "origin/$branch" >/dev/null || start=origin/$branch
    git -C "$part" switch --quiet --no-track --create "$branch" "$start" && mv -T "$part" "$folder"
}

check_branch() {
    git merge-base --is-ancestor "$STUDY_COMMIT" HEAD || {
        say "$folder is on another study: HEAD does not have $STUDY_COMMIT in its past. Give another STUDY_NAME or STUDY_FOLDER."
        return 2
    }
}

use_overlays() { # once: what was restored, or changed since, stays
    local name begun=.git/overlays-begun
    [ -n "$overlays" ] || return 0
    [ ! -e "$begun" ] || git restore --source "$STUDY_COMMIT" params.yaml || return
    git diff --quiet "$STUDY_COMMIT" -- params.yaml || return 0
    touch "$begun"
    for name in $overlays; do step "$tool" profile use "$name" || return; done
    step "$tool" profile pin && rm "$begun"
}

# --- the study

study() { # `make` would turn 75 into 2: the verb itself
    local code saved
    trap 'on_notice' TERM INT USR1
    "$tool" reproduce &
    running=$!
    keep_watch &
    watching=$!
    while [ -z "$notice" ] && is_there "$running"; do wait "$running"; done
    kill -TERM "$watching" 2>/dev/null
    finish "$watching"
    saved=$?
    if [ -n "$notice" ]; then
        [ "$saved" -le 1 ] || { "$tool" backup --stop --deadline "$deadline"; saved=$?; }
        ! is_there "$running" || { kill -TERM "$running"; return "$INTERRUPTED"; }
    elif [ "$saved" != 0 ]; then
        "$tool" backup
        saved=$?
    fi
    finish "$running"
    code=$?
    [ "$code" != 0 ] || [ "$saved" = 0 ] || code=${notice:+$INTERRUPTED}
    return "${code:-1}"
}

on_notice() {
    notice=yes
    [ -z "$watching" ] || kill -TERM "$watching" 2>/dev/null
}

keep_watch() { # `watch`, begun again where it ends by itself; its status once it is told to stop
    local code told=""
    child=""
    trap 'told=yes; [ -z "$child" ] || kill -TERM "$child" 2>/dev/null' TERM
    trap '' INT USR1
    while :; do
        # shellcheck disable=SC2086 # options are words
        heed "$tool" watch --deadline "$deadline" ${STUDY_WATCH:-}
        code=$?
        [ -z "$told" ] || return "$code"
        say "watch has ended ($code) before the study; it begins again"
        heed sleep 3
        [ -z "$told" ] || return "$code"
    done
}

heed() { # a command that ends with a signal that came while it was being started
    "$@" &
    child=$!
    [ -z "$told" ] || kill -TERM "$child" 2>/dev/null
    finish "$child"
}

is_there() { kill -0 "$1" 2>/dev/null; }

finish() { # the status of a child, whatever signals come meanwhile
    while is_there "$1"; do wait "$1"; done 2>/dev/null
    wait "$1" 2>/dev/null
}

after() {
    [ -n "${STUDY_AFTER:-}" ] || return 0
    trap 'exit "$1"' TERM INT USR1
    bash -c "$STUDY_AFTER" after "$1" &
    wait $!
}

main
