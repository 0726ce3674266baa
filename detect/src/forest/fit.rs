//! Growing the trees. The sample of a tree is copied column by column first: a few kilobytes that stay in the cache
//! while some 250 splits pass over them, however large the data set is.

use linfa::traits::Fit;
use linfa::{DatasetBase, Float, ParamGuard};
use ndarray::{ArrayBase, ArrayView2, Data, Ix2};
use rand::{Rng, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;
use rustc_hash::FxHashSet;

use super::{ForestError, IsolationForest, IsolationForestParams, IsolationForestValidParams};

impl<F: Float, D: Data<Elem = F>, T> Fit<ArrayBase<D, Ix2>, T, ForestError> for IsolationForestValidParams {
    type Object = IsolationForest<F>;

    fn fit(&self, dataset: &DatasetBase<ArrayBase<D, Ix2>, T>) -> Result<IsolationForest<F>, ForestError> {
        fit(self, dataset.records.view())
    }
}

impl IsolationForestParams {
    /// Fits on rows laid end to end, `features` values each, for callers without `ndarray`.
    pub fn fit_rows<F: Float>(&self, values: &[F], features: usize) -> Result<IsolationForest<F>, ForestError> {
        if features == 0 {
            return Err(ForestError::NoFeatures);
        }
        if !values.len().is_multiple_of(features) {
            return Err(ForestError::Ragged { values: values.len(), features });
        }
        let rows = ArrayView2::from_shape((values.len() / features, features), values);
        let rows = rows.map_err(linfa::Error::NdShape)?;
        fit(self.check_ref()?, rows)
    }
}

fn fit<F: Float>(params: &IsolationForestValidParams, rows: ArrayView2<F>) -> Result<IsolationForest<F>, ForestError> {
    check_rows(rows)?;
    let features = rows.ncols();
    let extension = params.extension();
    if extension > features {
        return Err(ForestError::ExtensionAboveFeatures { extension, features });
    }
    let sample_size = params.sample_size().min(rows.nrows());
    let height = sample_size.next_power_of_two().ilog2();
    let slots = params.trees() << height;
    let mut forest = IsolationForest {
        features,
        trees: params.trees(),
        height,
        extension,
        thresholds: vec![F::zero(); slots],
        split_features: vec![0; slots * extension],
        weights: if extension == 1 { Vec::new() } else { vec![F::zero(); slots * extension] },
        lengths: vec![F::zero(); slots],
        norm: F::cast(expected_path_length(sample_size) * params.trees() as f64),
    };
    let mut grower = Grower::new(features, sample_size, Xoshiro256PlusPlus::seed_from_u64(params.seed()));
    for tree in 0..params.trees() {
        grower.draw_sample(rows);
        grower.grow(&mut forest, tree);
    }
    Ok(forest)
}

fn check_rows<F: Float>(rows: ArrayView2<F>) -> Result<(), ForestError> {
    if rows.ncols() == 0 {
        return Err(ForestError::NoFeatures);
    }
    if rows.nrows() < 2 {
        return Err(ForestError::TooFewRows(rows.nrows()));
    }
    if rows.as_slice().is_some_and(all_finite) {
        return Ok(());
    }
    for ((row, feature), value) in rows.indexed_iter() {
        if !value.is_finite() {
            let value = value.to_f64().unwrap_or(f64::NAN);
            return Err(ForestError::NotFinite { row, feature, value });
        }
    }
    Ok(())
}

/// Eight sums side by side run at the speed of memory; on 100,000 rows a test per value takes as long as all the trees.
fn all_finite<F: Float>(values: &[F]) -> bool {
    let (chunks, rest) = values.as_chunks::<8>();
    let mut products = [F::zero(); 8];
    for chunk in chunks {
        for (product, &value) in products.iter_mut().zip(chunk) {
            *product += value * F::zero();
        }
    }
    products.iter().chain(rest).all(|value| value.is_finite())
}

/// Mean path length of an unsuccessful search in a binary search tree of `rows` entries: `c(n)` of Liu, Ting and Zhou.
pub(super) fn expected_path_length(rows: usize) -> f64 {
    const EULER_GAMMA: f64 = 0.577_215_664_901_532_9;
    match rows {
        0 | 1 => 0.0,
        2 => 1.0,
        _ => {
            let n = rows as f64;
            2.0 * ((n - 1.0).ln() + EULER_GAMMA) - 2.0 * (n - 1.0) / n
        }
    }
}

/// A stretch of the sample that has arrived at one slot of the heap.
struct Branch {
    slot: usize,
    depth: u32,
    start: usize,
    end: usize,
}

/// Scratch space for one tree after the other.
struct Grower<F> {
    rng: Xoshiro256PlusPlus,
    sample_size: usize,
    /// The sample, column by column.
    columns: Vec<F>,
    /// Sample rows, reordered so that each branch holds a contiguous stretch.
    order: Vec<u32>,
    spare: Vec<u32>,
    /// A branch's value of the chosen feature, or its projection on the chosen plane.
    projected: Vec<F>,
    /// Always a permutation of the features.
    candidates: Vec<u32>,
    drawn: FxHashSet<usize>,
    drawn_rows: Vec<usize>,
    /// Expected path length for every size a branch may end with.
    expected: Vec<f64>,
}

impl<F: Float> Grower<F> {
    fn new(features: usize, sample_size: usize, rng: Xoshiro256PlusPlus) -> Self {
        Self {
            rng,
            sample_size,
            columns: vec![F::zero(); features * sample_size],
            order: vec![0; sample_size],
            spare: vec![0; sample_size],
            projected: vec![F::zero(); sample_size],
            candidates: (0..features as u32).collect(),
            drawn: FxHashSet::default(),
            drawn_rows: vec![0; sample_size],
            expected: (0..=sample_size).map(expected_path_length).collect(),
        }
    }

    /// Copies a uniform sample without replacement (Floyd's algorithm), so that this work does not grow with the rows.
    fn draw_sample(&mut self, rows: ArrayView2<F>) {
        self.drawn.clear();
        for (drawn_row, last) in self.drawn_rows.iter_mut().zip(rows.nrows() - self.sample_size..) {
            let candidate = self.rng.gen_range(0..=last);
            *drawn_row = if self.drawn.insert(candidate) { candidate } else { last };
            self.drawn.insert(*drawn_row);
        }
        // Feature by feature: the rows lie far apart, and in so short a loop many of them are fetched at a time.
        for (column, values) in rows.columns().into_iter().zip(self.columns.chunks_exact_mut(self.sample_size)) {
            for (value, &row) in values.iter_mut().zip(&self.drawn_rows) {
                *value = column[row];
            }
        }
    }

    fn grow(&mut self, forest: &mut IsolationForest<F>, tree: usize) {
        for (position, row) in self.order.iter_mut().enumerate() {
            *row = position as u32;
        }
        let mut branches = vec![Branch { slot: 1, depth: 0, start: 0, end: self.sample_size }];
        while let Some(branch) = branches.pop() {
            let split = if branch.depth < forest.height && branch.end - branch.start > 1 {
                self.split(forest, tree, &branch)
            } else {
                None
            };
            let Some(middle) = split else {
                self.end(forest, tree, &branch);
                continue;
            };
            let depth = branch.depth + 1;
            branches.push(Branch { slot: 2 * branch.slot + 1, depth, start: middle, end: branch.end });
            branches.push(Branch { slot: 2 * branch.slot, depth, start: branch.start, end: middle });
        }
    }

    /// Writes the path length to all ends below the branch's slot.
    fn end(&self, forest: &mut IsolationForest<F>, tree: usize, branch: &Branch) {
        let below = forest.height - branch.depth;
        let first = tree * forest.slots() + (branch.slot << below) - forest.slots();
        let length = f64::from(branch.depth) + self.expected[branch.end - branch.start];
        forest.lengths[first..first + (1 << below)].fill(F::cast(length));
    }

    /// Splits a branch at random and says where its right half starts, or `None` when all its rows are equal.
    fn split(&mut self, forest: &mut IsolationForest<F>, tree: usize, branch: &Branch) -> Option<usize> {
        let slot = tree * forest.slots() + branch.slot;
        let at = slot * forest.extension;
        let chosen = &mut forest.split_features[at..at + forest.extension];
        let weights = if forest.weights.is_empty() { &mut [] } else { &mut forest.weights[at..at + forest.extension] };
        let range = self.project(chosen, weights, branch)?;
        let threshold = self.draw_threshold(range);
        forest.thresholds[slot] = threshold;
        Some(self.partition(branch, threshold))
    }

    /// Chooses features that vary within the branch, fills `projected` and returns its least and greatest value.
    ///
    /// A feature that is constant here is passed over and another one drawn: giving up instead costs most of the
    /// precision on sets with many repeated values.
    fn project(&mut self, chosen: &mut [u32], weights: &mut [F], branch: &Branch) -> Option<(F, F)> {
        let mut range = None;
        let mut found = 0;
        for next in 0..self.candidates.len() {
            let other = self.rng.gen_range(next..self.candidates.len());
            self.candidates.swap(next, other);
            let feature = self.candidates[next];
            let (least, greatest) = self.copy_feature(feature, branch);
            if least < greatest {
                range = Some((least, greatest));
                chosen[found] = feature;
                if let Some(weight) = weights.get_mut(found) {
                    // Otherwise the feature with the largest numbers would decide every split. Dividing by the range
                    // instead does worse: it takes weight from the features with the longest tails.
                    *weight = F::cast(standard_normal(&mut self.rng)) / self.deviation(branch.end - branch.start);
                }
                found += 1;
                if found == chosen.len() {
                    break;
                }
            }
        }
        if weights.is_empty() || found == 0 {
            return range;
        }
        // Fewer varying features than wanted: the rest repeat them, at no weight.
        for spare in found..chosen.len() {
            chosen[spare] = chosen[0];
            weights[spare] = F::zero();
        }
        self.combine(&chosen[..found], &weights[..found], branch)
    }

    fn copy_feature(&mut self, feature: u32, branch: &Branch) -> (F, F) {
        let start = feature as usize * self.sample_size;
        let column = &self.columns[start..start + self.sample_size];
        let (mut least, mut greatest) = (F::infinity(), F::neg_infinity());
        for (target, &row) in self.projected.iter_mut().zip(&self.order[branch.start..branch.end]) {
            let value = column[row as usize];
            least = if value < least { value } else { least };
            greatest = if value > greatest { value } else { greatest };
            *target = value;
        }
        (least, greatest)
    }

    /// Standard deviation of the first `rows` values of `projected`.
    fn deviation(&self, rows: usize) -> F {
        let values = &self.projected[..rows];
        let count = F::cast(rows);
        let mean = values.iter().copied().sum::<F>() / count;
        let squares: F = values.iter().map(|&value| (value - mean) * (value - mean)).sum();
        (squares / count).sqrt()
    }

    fn combine(&mut self, chosen: &[u32], weights: &[F], branch: &Branch) -> Option<(F, F)> {
        let (mut least, mut greatest) = (F::infinity(), F::neg_infinity());
        for (target, &row) in self.projected.iter_mut().zip(&self.order[branch.start..branch.end]) {
            let mut sum = F::zero();
            for (&feature, &weight) in chosen.iter().zip(weights) {
                sum += weight * self.columns[feature as usize * self.sample_size + row as usize];
            }
            least = if sum < least { sum } else { least };
            greatest = if sum > greatest { sum } else { greatest };
            *target = sum;
        }
        // Not so when the values are so large, or so close, that their deviation is infinite or 0.
        (least < greatest && (greatest - least).is_finite()).then_some((least, greatest))
    }

    /// A threshold above the least and not above the greatest value, so that neither side is empty.
    fn draw_threshold(&mut self, (least, greatest): (F, F)) -> F {
        let share = F::cast(self.rng.r#gen::<f64>());
        let threshold = least * (F::one() - share) + greatest * share;
        if threshold > least && threshold <= greatest { threshold } else { greatest }
    }

    /// Moves rows below the threshold to the front of the branch; returns where the others start.
    fn partition(&mut self, branch: &Branch, threshold: F) -> usize {
        let stretch = &mut self.order[branch.start..branch.end];
        let (mut below, mut others) = (0, 0);
        for (position, &value) in self.projected[..stretch.len()].iter().enumerate() {
            let row = stretch[position];
            let is_below = value < threshold;
            stretch[below] = row;
            self.spare[others] = row;
            below += usize::from(is_below);
            others += usize::from(!is_below);
        }
        stretch[below..].copy_from_slice(&self.spare[..others]);
        branch.start + below
    }
}

/// Box and Muller's transform; one of its two values is enough here.
fn standard_normal(rng: &mut Xoshiro256PlusPlus) -> f64 {
    let radius = (-2.0 * (1.0 - rng.r#gen::<f64>()).ln()).sqrt();
    radius * (std::f64::consts::TAU * rng.r#gen::<f64>()).cos()
}
