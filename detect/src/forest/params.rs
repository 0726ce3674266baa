//! Hyperparameters in linfa's two forms: a builder anyone may fill, and the checked values `fit` accepts.

use linfa::ParamGuard;

use super::ForestError;

/// Checked hyperparameters; the only way to them is [`IsolationForestParams`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IsolationForestValidParams {
    trees: usize,
    sample_size: usize,
    extension: usize,
    seed: u64,
}

impl IsolationForestValidParams {
    /// Number of trees.
    pub fn trees(&self) -> usize {
        self.trees
    }

    /// Rows drawn, without replacement, for each tree.
    pub fn sample_size(&self) -> usize {
        self.sample_size
    }

    /// Features with a non-zero weight in each split.
    pub fn extension(&self) -> usize {
        self.extension
    }

    /// Seed of everything random in `fit`.
    pub fn seed(&self) -> u64 {
        self.seed
    }
}

/// Builder of an isolation forest. Liu, Ting and Zhou's 100 trees of 256 rows unless told otherwise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IsolationForestParams(IsolationForestValidParams);

impl Default for IsolationForestParams {
    fn default() -> Self {
        Self(IsolationForestValidParams { trees: 100, sample_size: 256, extension: 1, seed: 0 })
    }
}

impl IsolationForestParams {
    /// Number of trees, at least 1.
    pub fn trees(mut self, trees: usize) -> Self {
        self.0.trees = trees;
        self
    }

    /// Rows drawn for each tree, at least 2; a smaller data set is used whole.
    pub fn sample_size(mut self, sample_size: usize) -> Self {
        self.0.sample_size = sample_size;
        self
    }

    /// Features combined in one split, from 1 to the number of features: 1 is the forest of Liu, Ting and Zhou (2008),
    /// more is the extended forest of Hariri et al. (2019), whose extension level is one less. 2 is the extension to
    /// try; combining all features does worse on sets with few of them. Above 2, rows are scored one at a time, which takes
    /// several times as long.
    pub fn extension(mut self, features_per_split: usize) -> Self {
        self.0.extension = features_per_split;
        self
    }

    /// Seed; the same seed, settings and rows give the same forest.
    pub fn seed(mut self, seed: u64) -> Self {
        self.0.seed = seed;
        self
    }
}

impl ParamGuard for IsolationForestParams {
    type Checked = IsolationForestValidParams;
    type Error = ForestError;

    fn check_ref(&self) -> Result<&Self::Checked, ForestError> {
        if self.0.trees < 1 {
            return Err(ForestError::Trees(self.0.trees));
        }
        if self.0.sample_size < 2 {
            return Err(ForestError::SampleSize(self.0.sample_size));
        }
        if self.0.extension < 1 {
            return Err(ForestError::Extension(self.0.extension));
        }
        Ok(&self.0)
    }

    fn check(self) -> Result<Self::Checked, ForestError> {
        self.check_ref()?;
        Ok(self.0)
    }
}
