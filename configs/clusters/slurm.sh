#!/bin/bash
#SBATCH --job-name=backtracking
#SBATCH --array=0-2
#SBATCH --gres=gpu:1
#SBATCH --cpus-per-task=8
#SBATCH --mem=64G
#SBATCH --time=12:00:00
#SBATCH --signal=B:USR1@120
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --output=backtracking-%A-%a.log
#
# A study for each line of STUDIES, each in a folder and on a branch of its own. From the project's
# folder, on a file system that the nodes share, keys in the environment:
#
#   export STUDY_REPOSITORY=URL STUDY_COMMIT=$(git rev-parse HEAD) STUDY_REMOTE=s3://BUCKET/PATH
#   sbatch --array=0-2 configs/clusters/slurm.sh
#
# Two minutes before the time is up Slurm tells this process alone; the job is put back into the
# queue, and the next start goes on. `--array` has to have as many numbers as there are lines.
STUDIES="${STUDIES:-tiny
pair
organism-seeds}"

mapfile -t studies <<< "$STUDIES"
STUDY_OVERLAYS="${studies[${SLURM_ARRAY_TASK_ID:?only as an array: sbatch --array=0-N}]:-}"
[ -n "$STUDY_OVERLAYS" ] || { echo "STUDIES has no line $SLURM_ARRAY_TASK_ID (from 0)." >&2; exit 2; }

export STUDY_OVERLAYS
export STUDY_NAME="${STUDY_OVERLAYS// /-}"
export STUDY_FOLDER="${STUDY_FOLDERS:-$HOME/studies}/$STUDY_NAME"
export STUDY_DEADLINE="${STUDY_DEADLINE:-90s}"
# shellcheck disable=SC2016 # run.sh expands it
export STUDY_AFTER='[ "$1" != 75 ] || scontrol requeue "$SLURM_JOB_ID"'
mkdir -p "${STUDY_FOLDER%/*}"
# Slurm runs a copy of this file: what lies beside it is where it was submitted.
exec bash "${SLURM_SUBMIT_DIR:-.}/configs/clusters/run.sh"
