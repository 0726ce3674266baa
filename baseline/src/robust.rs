//! Robust location and scale on a log scale.
//!
//! Counts and bytes of devices span six orders of magnitude and have heavy tails, so everything is measured on
//! `ln(1 + x)` (odd in `x`), with the median for location and 1.4826 x MAD for scale (Hampel 1974; the factor makes it
//! the standard deviation for normal data). Where more than half of the values are equal the MAD is 0: the scale then
//! falls back to the spread between the outer quantiles.

use serde::{Deserialize, Serialize};

/// Sign-preserving `ln(1 + |x|)`.
pub fn log_scale(value: f32) -> f32 {
    // Most features of most windows are 0.
    if value == 0.0 {
        return value;
    }
    value.abs().ln_1p().copysign(value)
}

/// The inverse of [`log_scale`].
pub fn unlog_scale(value: f32) -> f32 {
    value.abs().exp_m1().copysign(value)
}

/// Scale below which a deviation is not worth a word: 10 % of the value.
pub const SCALE_FLOOR: f32 = 0.1;

#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Robust {
    /// Median, log scale.
    pub location: f32,
    /// 1.4826 x median absolute deviation, log scale, never below [`SCALE_FLOOR`].
    pub scale: f32,
    /// 0.5 %, 5 %, 95 % and 99.5 % quantiles, original unit.
    pub q005: f32,
    pub q05: f32,
    pub q95: f32,
    pub q995: f32,
}

impl Robust {
    /// Consumes the order of `values` (original unit). `None` when there are none.
    pub fn fit(values: &mut [f32]) -> Option<Robust> {
        let (least, greatest) = bounds(values)?;
        if least == greatest {
            let q = least;
            return Some(Robust { location: log_scale(q), scale: SCALE_FLOOR, q005: q, q05: q, q95: q, q995: q });
        }
        let mut at = |share| select_quantile(values, share);
        let (q005, q05, median, q95, q995) = (at(0.005), at(0.05), at(0.5), at(0.95), at(0.995));
        let location = log_scale(median);
        let mut deviations: Vec<f32> = values.iter().map(|value| (log_scale(*value) - location).abs()).collect();
        let mad = 1.4826 * select_quantile(&mut deviations, 0.5);
        // 2 x 1.645 standard deviations lie between the 5 % and the 95 % quantile of normal data.
        let spread = (log_scale(q95) - log_scale(q05)) / 3.29;
        let scale = mad.max(if mad == 0.0 { spread } else { 0.0 }).max(SCALE_FLOOR);
        Some(Robust { location, scale, q005, q05, q95, q995 })
    }

    /// Robust z-score of a value whose expected location is shifted by `offset` (log scale).
    pub fn z(&self, value: f32, offset: f32) -> f32 {
        (log_scale(value) - self.location - offset) / self.scale
    }
}

/// Nearest-rank quantile of sorted, non-empty values.
pub fn quantile(sorted: &[f32], share: f64) -> f32 {
    let rank = (share * (sorted.len() - 1) as f64).round() as usize;
    sorted[rank.min(sorted.len() - 1)]
}

/// The same of unsorted, non-empty values; changes their order.
pub fn select_quantile(values: &mut [f32], share: f64) -> f32 {
    let rank = ((share * (values.len() - 1) as f64).round() as usize).min(values.len() - 1);
    *values.select_nth_unstable_by(rank, f32::total_cmp).1
}

/// Least and greatest; `None` when there are no values.
pub fn bounds(values: &[f32]) -> Option<(f32, f32)> {
    let first = *values.first()?;
    Some(values.iter().fold((first, first), |(least, greatest), value| (least.min(*value), greatest.max(*value))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_of_the_values_may_be_garbage() {
        let mut values: Vec<f32> = (0..100).map(|i| 100.0 + (i % 7) as f32).collect();
        values.extend((0..90).map(|_| 1e9));
        let fitted = Robust::fit(&mut values).unwrap();
        assert!((unlog_scale(fitted.location) - 106.0).abs() < 2.0, "{fitted:?}");
    }

    #[test]
    fn constant_values_have_the_floor_for_scale() {
        let fitted = Robust::fit(&mut [5.0; 50]).unwrap();
        assert_eq!(fitted.scale, SCALE_FLOOR);
        assert!(fitted.z(5.0, 0.0).abs() < 1e-6);
        assert!(fitted.z(50.0, 0.0) > 20.0);
    }

    #[test]
    fn negative_values_keep_their_sign() {
        assert!((unlog_scale(log_scale(-12.5)) + 12.5).abs() < 1e-4);
        assert!(Robust::fit(&mut []).is_none());
    }
}
