//! Batch scoring. One row's way down a tree is a chain of loads, each waiting for the one before; eight rows at once
//! keep the processor busy meanwhile, and a block of rows passes one tree before the next so that a tree is fetched into
//! the first-level cache once a block. Plain scalar code: gather instructions are not on every machine.

use linfa::Float;
use ndarray::{ArrayView1, ArrayView2, Axis};

use super::IsolationForest;

const BLOCK: usize = 64;
const LANES: usize = 8;

pub(super) fn score_into<F: Float>(forest: &IsolationForest<F>, rows: ArrayView2<F>, scores: &mut [F]) {
    match forest.extension {
        1 => score_blocks::<F, 1>(forest, rows, scores),
        2 => score_blocks::<F, 2>(forest, rows, scores),
        _ => {
            for (row, score) in rows.rows().into_iter().zip(scores) {
                *score = score_one(forest, row);
            }
        }
    }
}

/// Plain traversal of one row: the definition that the blocks must agree with to the last bit.
pub(super) fn score_one<F: Float>(forest: &IsolationForest<F>, row: ArrayView1<F>) -> F {
    let slots = forest.slots();
    let mut sum = F::zero();
    for tree in 0..forest.trees {
        let mut slot = 1;
        for _ in 0..forest.height {
            let split = tree * slots + slot;
            let at = split * forest.extension;
            let features = &forest.split_features[at..at + forest.extension];
            let mut value = row[features[0] as usize];
            if !forest.weights.is_empty() {
                value = F::zero();
                for (&feature, &weight) in features.iter().zip(&forest.weights[at..]) {
                    value += weight * row[feature as usize];
                }
            }
            slot = 2 * slot + usize::from(value >= forest.thresholds[split]);
        }
        sum += forest.lengths[tree * slots + slot - slots];
    }
    score_of(forest, sum)
}

fn score_of<F: Float>(forest: &IsolationForest<F>, summed_length: F) -> F {
    (-summed_length / forest.norm).exp2()
}

fn score_blocks<F: Float, const K: usize>(forest: &IsolationForest<F>, rows: ArrayView2<F>, scores: &mut [F]) {
    let slots = forest.slots();
    let mut columns = vec![[F::zero(); BLOCK]; forest.features];
    for (block, scores) in rows.axis_chunks_iter(Axis(0), BLOCK).zip(scores.chunks_mut(BLOCK)) {
        for (position, row) in block.rows().into_iter().enumerate() {
            for (column, &value) in columns.iter_mut().zip(row) {
                column[position] = value;
            }
        }
        let mut sums = [F::zero(); BLOCK];
        for tree in 0..forest.trees {
            let first = tree * slots;
            let thresholds = &forest.thresholds[first..first + slots];
            let features = &forest.split_features.as_chunks::<K>().0[first..first + slots];
            let weights = if K == 1 { &[][..] } else { &forest.weights.as_chunks::<K>().0[first..first + slots] };
            let lengths = &forest.lengths[first..first + slots];
            for start in (0..scores.len()).step_by(LANES) {
                let mut at = [1usize; LANES];
                for _ in 0..forest.height {
                    for lane in 0..LANES {
                        let slot = at[lane];
                        let value = if K == 1 {
                            columns[features[slot][0] as usize][start + lane]
                        } else {
                            let mut sum = F::zero();
                            for k in 0..K {
                                sum += weights[slot][k] * columns[features[slot][k] as usize][start + lane];
                            }
                            sum
                        };
                        at[lane] = 2 * slot + usize::from(value >= thresholds[slot]);
                    }
                }
                for lane in 0..LANES {
                    sums[start + lane] += lengths[at[lane] - slots];
                }
            }
        }
        for (score, &sum) in scores.iter_mut().zip(&sums) {
            *score = score_of(forest, sum);
        }
    }
}
