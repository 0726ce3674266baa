//! Small summaries: how many different things, how large they were, and what numbers add up to. Each is the same in
//! whatever order things come.
//!
//! A window of an ordinary device holds a handful of each, so the common case is a few inline words and no allocation;
//! only a scanner's window pays for registers.

/// Values counted exactly; beyond them the count is an estimate.
const EXACT: usize = 16;
/// 64 registers: standard error 1.04 / sqrt(64) = 13 %.
const REGISTERS: usize = 64;

/// Counts distinct values: exactly up to 16, above with a HyperLogLog of 64 registers (Flajolet et al. 2007; small
/// counts by linear counting). Values are 32-bit hashes: two of 16 are taken for one in 4 of 100 million windows.
#[derive(Clone, Debug, Default)]
pub struct DistinctCounter {
    exact: [u32; EXACT],
    seen: u8,
    registers: Option<Box<[u8; REGISTERS]>>,
}

impl DistinctCounter {
    /// `hash` is evenly spread over all its bits: see [`mix`].
    pub fn insert(&mut self, hash: u32) {
        if let Some(registers) = &mut self.registers {
            return register(registers, hash);
        }
        let seen = usize::from(self.seen);
        if self.exact[..seen].contains(&hash) {
            return;
        }
        if seen < EXACT {
            self.exact[seen] = hash;
            self.seen += 1;
            return;
        }
        let mut registers = Box::new([0; REGISTERS]);
        for &earlier in &self.exact {
            register(&mut registers, earlier);
        }
        register(&mut registers, hash);
        self.registers = Some(registers);
    }

    pub fn count(&self) -> u32 {
        let Some(registers) = &self.registers else { return u32::from(self.seen) };
        (estimate(registers).round() as u32).max(EXACT as u32 + 1)
    }

    /// How many are kept exactly, at most 16.
    pub fn seen(&self) -> u32 {
        u32::from(self.seen)
    }

    pub fn clear(&mut self) {
        self.seen = 0;
        self.registers = None;
    }
}

fn register(registers: &mut [u8; REGISTERS], hash: u32) {
    let index = (hash >> 26) as usize;
    let rank = ((hash << 6) | 0x3f).leading_zeros() as u8 + 1;
    registers[index] = registers[index].max(rank);
}

fn estimate(registers: &[u8; REGISTERS]) -> f64 {
    const ALPHA: f64 = 0.709;
    let count = REGISTERS as f64;
    let sum: f64 = registers.iter().map(|&rank| 0.5f64.powi(i32::from(rank))).sum();
    let raw = ALPHA * count * count / sum;
    let empty = registers.iter().filter(|&&rank| rank == 0).count();
    if raw <= 2.5 * count && empty > 0 { count * (count / empty as f64).ln() } else { raw }
}

/// Spreads the bits of a key evenly (the finaliser of SplitMix64), and keeps 32 of them.
pub fn mix(key: u64) -> u32 {
    let mut bits = key.wrapping_add(0x9e37_79b9_7f4a_7c15);
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    (bits ^ (bits >> 31)) as u32
}

/// 4 bins an octave: a bin's upper edge is at most 2^(1/4), 19 %, above what is in it.
const BINS: usize = 4 * 28 + 1;

/// 2^(1/4), 2^(2/4), 2^(3/4).
const QUARTERS: [f64; 3] = [1.189_207_115_002_721, std::f64::consts::SQRT_2, 1.681_792_830_507_429];

/// Sizes from 0 to 256 MB (MQTT's largest message) in logarithmic bins.
#[derive(Clone, Debug)]
pub struct LogHistogram {
    bins: [u16; BINS],
    count: u32,
}

impl Default for LogHistogram {
    fn default() -> LogHistogram {
        LogHistogram { bins: [0; BINS], count: 0 }
    }
}

impl LogHistogram {
    pub fn insert(&mut self, size: u32) {
        let bin = &mut self.bins[bin_of(size)];
        // Saturation moves a quantile only once one bin holds 65,535 of a single window's messages.
        *bin = bin.saturating_add(1);
        self.count = self.count.saturating_add(1);
    }

    /// The upper edge of the bin that holds the `share` quantile (0 to 1); 0 when empty.
    pub fn quantile(&self, share: f64) -> f64 {
        let total: u64 = self.bins.iter().map(|&count| u64::from(count)).sum();
        let wanted = (share * total as f64).ceil() as u64;
        let mut below = 0;
        for (bin, &count) in self.bins.iter().enumerate() {
            below += u64::from(count);
            if count > 0 && below >= wanted {
                return upper_edge(bin);
            }
        }
        0.0
    }

    pub fn clear(&mut self) {
        if self.count > 0 {
            *self = LogHistogram::default();
        }
    }
}

fn bin_of(size: u32) -> usize {
    if size == 0 {
        return 0;
    }
    let octave = size.ilog2() as usize;
    let ratio = f64::from(size) / f64::from(1u32 << octave);
    let quarter = QUARTERS.iter().filter(|edge| ratio > **edge).count();
    (1 + octave * 4 + quarter).min(BINS - 1)
}

fn upper_edge(bin: usize) -> f64 {
    if bin == 0 { 0.0 } else { 2f64.powf(bin as f64 / 4.0) }
}

/// The sum of numbers of single precision, exactly, so that their order does not matter: floating-point addition is not
/// associative. Numbers go by their exponent into bins, in which they are integers.
#[derive(Clone, Copy, Debug, Default)]
pub struct ExactSum {
    /// Bin `n` counts in units of 2^(32 n - 149). A number takes at most 55 bits of a bin, so 2^32 of them fit well.
    bins: [i128; 8],
}

impl ExactSum {
    /// Greater numbers (by absolute value) are beyond the bins.
    pub const MOST: f64 = 1e30;

    pub fn add(&mut self, number: f32) {
        debug_assert!(f64::from(number.abs()) <= Self::MOST * 1.001, "`{number}` is beyond the bins");
        let bits = number.to_bits();
        let (exponent, fraction) = (bits >> 23 & 0xff, bits & 0x7f_ffff);
        // Numbers below 2^-126 have exponent 0, are in the unit of exponent 1, and have no leading bit.
        let (shift, integer) = if exponent == 0 { (0, fraction) } else { (exponent - 1, fraction | 0x80_0000) };
        let integer = i128::from(integer) << (shift % 32);
        let Some(bin) = self.bins.get_mut(shift as usize / 32) else { return };
        *bin += if number.is_sign_negative() { -integer } else { integer };
    }

    pub fn value(&self) -> f64 {
        let units = (0i32..8).map(|bin| 2f64.powi(32 * bin - 149));
        self.bins.iter().zip(units).rev().map(|(&bin, unit)| bin as f64 * unit).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exact_up_to_sixteen_and_close_above() {
        let mut squared = 0.0;
        for seed in 0..50u64 {
            let mut counter = DistinctCounter::default();
            for value in 0..2_000u64 {
                let hash = mix(seed << 32 | value);
                counter.insert(hash);
                counter.insert(hash);
                let truth = value as f64 + 1.0;
                match value {
                    0..16 => assert_eq!(counter.count(), value as u32 + 1),
                    16..40 => assert!((f64::from(counter.count()) / truth - 1.0).abs() < 0.5, "{value}"),
                    _ => {}
                }
            }
            squared += (f64::from(counter.count()) / 2_000.0 - 1.0).powi(2);
        }
        let error = (squared / 50.0f64).sqrt();
        assert!((0.05..0.18).contains(&error), "relative error {error}");
    }

    #[test]
    fn cleared_counters_start_again() {
        let mut counter = DistinctCounter::default();
        (0..100).for_each(|value| counter.insert(mix(value)));
        counter.clear();
        counter.insert(7);
        assert_eq!(counter.count(), 1);
    }

    #[test]
    fn bins_hold_what_their_edges_say() {
        for size in (0..5_000).chain([1 << 20, (1 << 28) - 1]) {
            let edge = upper_edge(bin_of(size));
            assert!(edge >= f64::from(size) * 0.999_999 && edge <= f64::from(size) * 1.1893, "{size} under {edge}");
        }
        assert_eq!(bin_of(u32::MAX), BINS - 1);
    }

    #[test]
    fn a_quantile_is_within_19_percent() {
        let mut histogram = LogHistogram::default();
        (1..=1_000).for_each(|size| histogram.insert(size));
        let p95 = histogram.quantile(0.95);
        assert!((950.0..=950.0 * 1.19).contains(&p95), "{p95}");
        histogram.clear();
        assert_eq!(histogram.quantile(0.95), 0.0);
    }

    #[test]
    fn sums_are_exact() {
        let sum = |numbers: &[f32]| {
            let mut sum = ExactSum::default();
            numbers.iter().for_each(|&number| sum.add(number));
            sum.value()
        };
        assert_eq!(sum(&[0.1, 0.2]), f64::from(0.1f32) + f64::from(0.2f32));
        assert_eq!(sum(&[1e30, 1e-20, -1e30]), f64::from(1e-20f32));
        assert_eq!(sum(&[1e-45, -0.0, 1e-38, -1e-45]), f64::from(1e-38f32));
        let many: Vec<f32> = (0..100_000).map(|number| number as f32 * 0.01).collect();
        let reversed: Vec<f32> = many.iter().rev().copied().collect();
        assert_eq!(sum(&many), sum(&reversed));
        assert!((sum(&many) / 49_999_500.0 - 1.0).abs() < 1e-7);
    }
}
