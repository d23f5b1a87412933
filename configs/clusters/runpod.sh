#!/bin/bash
# The start command of a pod, on a volume in /workspace. STUDY_REPOSITORY, STUDY_COMMIT, STUDY_REMOTE
# and keys are environment variables of the pod (keys as RunPod's secrets):
#
#   runpodctl create pod --gpuType "NVIDIA H100 80GB HBM3" --imageName IMAGE --volumeSize 200 \
#     --volumePath /workspace --env STUDY_REPOSITORY=URL --env STUDY_COMMIT=COMMIT --env STUDY_REMOTE=s3://BUCKET/PATH \
#     --env 'AWS_ACCESS_KEY_ID={{ RUNPOD_SECRET_aws_id }}' --env 'AWS_SECRET_ACCESS_KEY={{ RUNPOD_SECRET_aws_key }}' \
#     --args "bash -c '$(grep -v '^#' configs/clusters/runpod.sh)'"
#
# It is the container's first process, which alone hears SIGTERM, about five seconds before the end.
export STUDY_FOLDER="${STUDY_FOLDER:-/workspace/mats-backtracking}" STUDY_DEADLINE="${STUDY_DEADLINE:-5s}"
export STUDY_AFTER="[ \$1 = 75 ] || (runpodctl stop pod \$RUNPOD_POD_ID; sleep infinity)"
recipe="$(mktemp -d)"
git clone --quiet --depth 1 "$STUDY_REPOSITORY" "$recipe" || exit
exec bash "$recipe/configs/clusters/run.sh"
