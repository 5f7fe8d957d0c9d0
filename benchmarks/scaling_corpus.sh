#!/bin/sh
# A scaling law of a simulated corpus, and what further runs measure beside what it predicts.
# About an hour of one core: sh benchmarks/scaling_corpus.sh FOLDER
set -e
here=$(cd "$(dirname "$0")" && pwd)
mkdir -p "$1" && cd "$1"
export OMP_NUM_THREADS=1

# Trains one size; its arguments: width, layers, latents of a group, width of the video encoder.
sweep() {
    width=$1 layers=$2 latents=$3 video=$4; shift 4
    omnimouse sweep shards --models nano-plain --config "$here/scaling_corpus.toml" --device cpu \
        --set model.d_model=$width --set model.d_embedding=$width --set model.layers=$layers \
        --set latents.per_group=$latents --set latents.num_global=$latents \
        --set video.d_embed=$video --quiet "$@"
}

omnimouse simulate recordings --sessions 66 --neurons 128 --minutes 3 --seed 2
omnimouse preprocess recordings --out shards
for size in "8 1 4 8" "16 1 4 16" "32 2 8 32" "48 2 8 48"; do
    out=runs/width${size%% *}
    sweep $size --sessions 1,2,5,16 --subsets 2 --seeds 1,2 --out $out --tune
    sweep $size --sessions 1,2,5,16 --subsets 2 --seeds 1,2 --out $out
done

# Twice the data, and a larger model.
mkdir -p check/width32 check/width96
cp runs/width32/learning_rates.json check/width32
# The next smaller size but one chose half of the learning rates.
cp runs/width32/learning_rates.json check/width96
sweep 32 2 8 32 --sessions 32 --subsets 1 --seeds 1 --out check/width32
sweep 96 2 8 96 --sessions 16 --subsets 1 --seeds 1 --out check/width96

omnimouse scaling-report runs
python "$here/scaling_corpus.py" runs check --figure scaling_corpus.png
