//! Exact bounds of a Poisson rate (Garwood 1936): a handful of false incidents in a hundred device-days says little, and
//! the score card must show how little.

/// Share of the probability outside the bounds.
const OUTSIDE: f64 = 0.05;

/// Two-sided 95 % bounds of the mean of a Poisson count that came out as `count`.
pub fn bounds(count: u64) -> (f64, f64) {
    let lower = if count == 0 { 0.0 } else { mean_where(count - 1, 1.0 - OUTSIDE / 2.0) };
    (lower, mean_where(count, OUTSIDE / 2.0))
}

/// The mean at which a count of at most `count` has the given probability; bisection, as it falls with the mean.
fn mean_where(count: u64, probability: f64) -> f64 {
    let spread = ((count + 1) as f64).sqrt();
    let (mut low, mut high) = (0.0, count as f64 + 10.0 * spread + 10.0);
    for _ in 0..100 {
        let middle = 0.5 * (low + high);
        if at_most(count, middle) > probability {
            low = middle;
        } else {
            high = middle;
        }
    }
    0.5 * (low + high)
}

/// Probability of at most `count` at this mean; summed downwards from the greatest term, which is kept as a logarithm.
fn at_most(count: u64, mean: f64) -> f64 {
    if mean <= 0.0 {
        return 1.0;
    }
    let ln_factorial: f64 = (2..=count).map(|n| (n as f64).ln()).sum();
    let ln_last = count as f64 * mean.ln() - mean - ln_factorial;
    let (mut sum, mut term) = (1.0, 1.0);
    for n in (1..=count).rev() {
        term *= n as f64 / mean;
        sum += term;
        if term < sum * 1e-17 {
            break;
        }
    }
    (ln_last + f64::ln(sum)).exp()
}
