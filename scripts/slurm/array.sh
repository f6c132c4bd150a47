#!/bin/bash
# trainmark sbatch configs/cosmoflow/node.json --nodes 1 --gpus-per-node 4 --array 0-9 --program trainmark
#SBATCH --job-name=cosmoflow-node
#SBATCH --nodes=1
#SBATCH --ntasks-per-node=4
#SBATCH --gpus-per-node=4
#SBATCH --exclusive
#SBATCH --mem=0
#SBATCH --time=01:00:00
#SBATCH --array=0-9
#SBATCH --signal=USR1@60
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --output=%x-%A_%a.out

# When the time is up, for the progress line; since 23.02 Slurm says so itself.
: "${SLURM_JOB_END_TIME:=$(date -d "$(squeue -h -j "$SLURM_JOB_ID" -o %e)" +%s 2>/dev/null)}"
export SLURM_JOB_END_TIME

# srun takes no --cpus-per-task over from sbatch (since 22.05): without this a rank has one CPU.
export SRUN_CPUS_PER_TASK=$((SLURM_CPUS_ON_NODE > 4 ? SLURM_CPUS_ON_NODE / 4 : 1))

exec srun --mpi=pmix --kill-on-bad-exit=1 --wait=60 \
  trainmark run configs/cosmoflow/node.json
