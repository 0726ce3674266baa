//! What can be wrong with a forest's settings or with the rows it is fitted on.

/// Why a forest could not be fitted. None of these goes away by trying again.
#[derive(Debug, thiserror::Error)]
pub enum ForestError {
    #[error("`trees` must be at least 1, but is {0}; 100 is the usual choice")]
    Trees(usize),
    #[error("`sample_size` must be at least 2, but is {0}; 256 is the usual choice")]
    SampleSize(usize),
    #[error("`extension` must be at least 1, but is {0}; 1 splits on one feature, 2 on a plane over two")]
    Extension(usize),
    #[error("`extension` is {extension}, more than the features to combine, {features}; 1 always works")]
    ExtensionAboveFeatures { extension: usize, features: usize },
    #[error("a forest compares rows, so it needs at least 2, but got {0}; 256 or more are usual")]
    TooFewRows(usize),
    #[error("a forest needs at least 1 feature, but the rows have none")]
    NoFeatures,
    #[error("{values} values do not make whole rows of {features} features")]
    Ragged { values: usize, features: usize },
    #[error(
        "row {row}, feature {feature} is `{value}`, but a forest is fitted on finite numbers; drop or fill the row"
    )]
    NotFinite { row: usize, feature: usize, value: f64 },
    #[error(transparent)]
    Linfa(#[from] linfa::Error),
}

impl ForestError {
    /// Whether the same call may succeed later; a forest is pure, so never.
    pub fn retry(&self) -> bool {
        false
    }
}
