#!/bin/bash
# The on-start script of an instance, run at each of its starts:
#
#   vastai create instance OFFER --image IMAGE --disk 200 --ssh --onstart configs/clusters/vast.sh \
#     --env '-e STUDY_REPOSITORY=URL -e STUDY_COMMIT=COMMIT -e STUDY_REMOTE=s3://BUCKET/PATH
#            -e AWS_ACCESS_KEY_ID=... -e AWS_SECRET_ACCESS_KEY=...'
#
# Vast gives no notice. `touch /workspace/stop` is one for your own stops; the log is
# /workspace/mats-backtracking.log. It goes on in the background, so that the instance gets ready.
export STUDY_FOLDER="${STUDY_FOLDER:-/workspace/mats-backtracking}" STUDY_DEADLINE="${STUDY_DEADLINE:-60s}"
export STUDY_WATCH="${STUDY_WATCH:---notice-file ${STUDY_FOLDER%/*}/stop}"
mkdir -p "${STUDY_FOLDER%/*}"
recipe="$(mktemp -d)"
git clone --quiet --depth 1 "$STUDY_REPOSITORY" "$recipe" || exit
setsid nohup bash "$recipe/configs/clusters/run.sh" >> "$STUDY_FOLDER.log" 2>&1 < /dev/null &
