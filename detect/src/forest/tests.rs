//! Hand-computed scores first, then the properties: bounds, agreement of the two traversals, one forest a seed.

use linfa::traits::{Fit, Predict};
use linfa::{DatasetBase, ParamGuard};
use ndarray::{Array1, Array2, Axis};
use proptest::prelude::*;
use rand::{Rng, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;

use super::fit::expected_path_length;
use super::*;

fn uniform(rows: usize, features: usize, seed: u64) -> Array2<f32> {
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(seed);
    Array2::from_shape_fn((rows, features), |_| rng.gen_range(0.0..1.0))
}

fn fit_message(values: &[f64], features: usize) -> String {
    IsolationForest::params().fit_rows(values, features).unwrap_err().to_string()
}

#[test]
fn has_autotraits() {
    fn autotraits<T: Send + Sync + Sized + Unpin + Clone>() {}
    autotraits::<IsolationForest<f64>>();
    autotraits::<IsolationForestValidParams>();
    autotraits::<IsolationForestParams>();
    fn error_autotraits<T: Send + Sync + std::error::Error>() {}
    error_autotraits::<ForestError>();
}

#[test]
fn expected_path_lengths_are_those_of_the_paper() {
    assert_eq!([0, 1, 2].map(expected_path_length), [0.0, 0.0, 1.0]);
    assert!((expected_path_length(3) - 1.207_392_357_589_622_7).abs() < 1e-12);
    assert!((expected_path_length(256) - 10.244_770_920_119_95).abs() < 1e-9);
}

/// Two equal rows and another one: any first split parts the one (path 1) from the two (path 1 + c(2)).
#[test]
fn scores_of_three_rows_by_hand() {
    let rows = [0.0, 0.0, 10.0];
    let (other, equal) = ((-1.0 / 1.207_392_357_589_622_7_f64).exp2(), (-2.0 / 1.207_392_357_589_622_7_f64).exp2());
    let scores = IsolationForest::params().trees(20).fit_rows(&rows, 1).unwrap().score_rows(&rows);
    for (score, expected) in scores.iter().zip([equal, equal, other]) {
        assert!((score - expected).abs() < 1e-12, "{score} is not {expected}");
    }
}

/// Giving up at a constant feature would leave such trees without a split, and all rows with more equal scores.
#[test]
fn a_constant_feature_is_passed_over() {
    let plain = [0.0_f64, 0.0, 10.0];
    let with_constants = [7.0, 0.0, 3.0, 7.0, 0.0, 3.0, 7.0, 10.0, 3.0];
    let expected = IsolationForest::params().trees(20).fit_rows(&plain, 1).unwrap().score_rows(&plain);
    for extension in 1..=3 {
        let forest = IsolationForest::params().trees(20).extension(extension).fit_rows(&with_constants, 3).unwrap();
        for (score, expected) in forest.score_rows(&with_constants).iter().zip(&expected) {
            assert!((score - expected).abs() < 1e-12, "{score} is not {expected} at extension {extension}");
        }
    }
}

#[test]
fn equal_rows_have_no_opinion() {
    let forest = IsolationForest::params().fit_rows(&[3.0_f32; 400], 2).unwrap();
    for score in forest.score_rows(&[3.0, 3.0, -1.0, 1e9]) {
        assert!((score - 0.5).abs() < 1e-6, "{score}");
    }
}

#[test]
fn a_planted_outlier_scores_highest() {
    let mut rows = uniform(1000, 4, 1);
    rows.row_mut(500).fill(4.0);
    let dataset = DatasetBase::from(rows);
    for extension in [1, 2, 4] {
        let forest = IsolationForest::params().extension(extension).seed(7).fit(&dataset).unwrap();
        let scores: Array1<f32> = forest.predict(&dataset);
        let mean = scores.mean().unwrap();
        assert!(scores[500] > 0.65 && mean < 0.52, "{} among {mean} at extension {extension}", scores[500]);
        assert!(scores.iter().all(|&score| score <= scores[500]));
    }
}

/// Weights are divided by the deviation within the branch; a power of two changes no rounding.
#[test]
fn the_size_of_a_features_unit_does_not_matter() {
    let rows = uniform(600, 2, 3);
    let mut scaled = rows.clone();
    scaled.column_mut(1).mapv_inplace(|value| value * 1024.0);
    let params = IsolationForest::params().extension(2).seed(5);
    let scores: Array1<f32> = params.fit(&DatasetBase::from(rows.view())).unwrap().predict(&rows);
    let scaled_scores: Array1<f32> = params.fit(&DatasetBase::from(scaled.view())).unwrap().predict(&scaled);
    assert_eq!(scores, scaled_scores);
}

#[test]
fn a_seed_gives_one_forest() {
    let rows = uniform(700, 5, 4);
    let dataset = DatasetBase::from(rows);
    let fit = |seed| IsolationForest::params().trees(20).seed(seed).fit(&dataset).unwrap();
    assert_eq!(fit(1), fit(1));
    assert_ne!(fit(1), fit(2));
}

#[test]
fn a_missing_value_counts_as_below_every_threshold() {
    let rows = uniform(300, 2, 6);
    let forest = IsolationForest::params().fit(&DatasetBase::from(rows)).unwrap();
    let scores = forest.score_rows(&[f32::NAN, 0.5, f32::NEG_INFINITY, 0.5]);
    assert_eq!(scores[0], scores[1]);
}

#[test]
fn wrong_settings_are_named() {
    let message = |params: IsolationForestParams| params.check().unwrap_err().to_string();
    let params = IsolationForest::params;
    assert_eq!(message(params().trees(0)), "`trees` must be at least 1, but is 0; 100 is the usual choice");
    assert_eq!(message(params().sample_size(1)), "`sample_size` must be at least 2, but is 1; 256 is the usual choice");
    assert_eq!(
        message(params().extension(0)),
        "`extension` must be at least 1, but is 0; 1 splits on one feature, 2 on a plane over two"
    );
    let too_wide = params().extension(3).fit_rows(&[1.0, 2.0, 3.0, 4.0], 2).unwrap_err();
    assert_eq!(too_wide.to_string(), "`extension` is 3, more than the features to combine, 2; 1 always works");
}

#[test]
fn wrong_rows_are_named() {
    assert_eq!(
        fit_message(&[1.0], 1),
        "a forest compares rows, so it needs at least 2, but got 1; 256 or more are usual"
    );
    assert_eq!(fit_message(&[], 3), "a forest compares rows, so it needs at least 2, but got 0; 256 or more are usual");
    assert_eq!(fit_message(&[], 0), "a forest needs at least 1 feature, but the rows have none");
    assert_eq!(fit_message(&[1.0, 2.0, 3.0], 2), "3 values do not make whole rows of 2 features");
    let finite = "but a forest is fitted on finite numbers; drop or fill the row";
    assert_eq!(fit_message(&[1.0, 2.0, 3.0, f64::NAN], 2), format!("row 1, feature 1 is `NaN`, {finite}"));
    assert_eq!(fit_message(&[f64::INFINITY, 2.0, 3.0, 4.0], 2), format!("row 0, feature 0 is `inf`, {finite}"));
}

#[test]
#[should_panic(expected = "as many features as those the forest was fitted on")]
fn rows_of_another_width_are_refused() {
    let forest = IsolationForest::params().fit(&DatasetBase::from(uniform(10, 3, 1))).unwrap();
    let _: Array1<f32> = forest.predict(&uniform(10, 2, 1));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Blocks, lanes, padding and memory layouts change nothing, to the last bit.
    #[test]
    fn blocks_agree_with_plain_traversal(
        rows in 2_usize..200, features in 1_usize..7, wanted_extension in 1_usize..4,
        sample_size in 2_usize..300, grid in 1_u8..9, seed: u64,
    ) {
        let mut values = uniform(rows, features, seed);
        // A coarse grid gives repeated rows, and so branches that end early.
        values.mapv_inplace(|value| (value * f32::from(grid)).round());
        let params = IsolationForest::params().trees(9).sample_size(sample_size).seed(seed);
        let forest = params.extension(wanted_extension.min(features)).fit(&DatasetBase::from(values.view())).unwrap();
        let plain: Vec<f32> = values.rows().into_iter().map(|row| forest.predict(&row)).collect();
        let contiguous: Array1<f32> = forest.predict(&values);
        prop_assert_eq!(contiguous.to_vec(), plain.clone());
        prop_assert_eq!(forest.score_rows(values.as_slice().unwrap()), plain.clone());
        let column_major = values.t().as_standard_layout().into_owned().reversed_axes();
        let by_column: Array1<f32> = forest.predict(&column_major);
        prop_assert_eq!(by_column.to_vec(), plain.clone());
        let mut backwards = Array1::zeros(rows);
        backwards.invert_axis(Axis(0));
        forest.predict_inplace(&values, &mut backwards);
        prop_assert_eq!(backwards.to_vec(), plain);
    }

    #[test]
    fn scores_lie_between_0_and_1(
        values in prop::collection::vec(prop::num::f64::NORMAL | prop::num::f64::ZERO | prop::num::f64::SUBNORMAL, 4..120),
        extension in 1_usize..3, seed: u64,
    ) {
        let whole_rows = &values[..values.len() / 2 * 2];
        let forest = IsolationForest::params().trees(5).extension(extension).seed(seed).fit_rows(whole_rows, 2).unwrap();
        for score in forest.score_rows(whole_rows) {
            prop_assert!(score > 0.0 && score < 1.0, "{}", score);
        }
    }
}
