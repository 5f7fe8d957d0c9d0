#!/bin/bash
# Trains on all GPUs of two nodes, one task for each GPU, and is queued again until it has finished:
# sbatch slurm_train.sh shards --out runs/big --resume --model 80M --epochs 10
#SBATCH --job-name=omnimouse
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=8
#SBATCH --gpus-per-node=8
#SBATCH --cpus-per-task=8
#SBATCH --time=24:00:00
# Five minutes before the end of that time all ranks save the step that they have reached.
#SBATCH --signal=USR1@300
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --output=omnimouse-%j.log

# srun does not take this number from the job.
export SRUN_CPUS_PER_TASK=$SLURM_CPUS_PER_TASK

srun --kill-on-bad-exit=1 omnimouse train "$@"
code=$?

# 138 is SIGUSR1: time is nearly up. 143 is SIGTERM: the job is preempted, or cancelled, and then
# this line is not reached.
if [ "$code" -eq 138 ] || [ "$code" -eq 143 ]; then
    scontrol requeue "$SLURM_JOB_ID"
fi
exit "$code"
