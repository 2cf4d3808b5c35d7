#!/bin/sh
# One job, shared by four plain processes: sbatch examples/slurm_array.sh BUNDLE INPUT OUTPUT/
# The processes need nothing of each other but the file system that OUTPUT is on (docs/scaling.md).
#SBATCH --job-name=pairlift
#SBATCH --array=1-4
#SBATCH --cpus-per-task=2
exec pairlift score "$1" "$2" "$3" --threads "${SLURM_CPUS_PER_TASK:-1}" --accept-rejects
