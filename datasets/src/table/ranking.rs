//! How well scores rank anomalies first. Ties are treated as scikit-learn treats them, so that figures are comparable.

use std::ops::Range;

/// Rank of each score from 1 (least); equal scores share the mean of the ranks they take up.
pub fn midranks(scores: &[f64]) -> Vec<f64> {
    let order = ascending(scores);
    let mut ranks = vec![0.0; scores.len()];
    for tied in ties(scores, &order) {
        let rank = (tied.start + 1 + tied.end) as f64 / 2.0;
        for &index in &order[tied] {
            ranks[index] = rank;
        }
    }
    ranks
}

/// Chance that an anomaly scores higher than a normal row, ties counting half; `None` without both kinds of row.
///
/// # Panics
/// When there is not one label for each score.
pub fn roc_auc(scores: &[f64], anomalous: &[bool]) -> Option<f64> {
    let (anomalies, normal) = count(scores, anomalous)?;
    let ranks = midranks(scores);
    let rank_sum: f64 = ranks.iter().zip(anomalous).filter(|(_, anomalous)| **anomalous).map(|(rank, _)| rank).sum();
    Some((rank_sum - anomalies * (anomalies + 1.0) / 2.0) / (anomalies * normal))
}

/// Precision at each distinct score, weighted by the recall it adds (no interpolation); `None` without both kinds of row.
///
/// # Panics
/// When there is not one label for each score.
pub fn average_precision(scores: &[f64], anomalous: &[bool]) -> Option<f64> {
    let (anomalies, _) = count(scores, anomalous)?;
    let order = ascending(scores);
    let (mut found, mut seen, mut sum) = (0.0, 0.0, 0.0);
    for tied in ties(scores, &order).into_iter().rev() {
        let found_here = order[tied.clone()].iter().filter(|&&index| anomalous[index]).count() as f64;
        found += found_here;
        seen += tied.len() as f64;
        sum += found_here / anomalies * (found / seen);
    }
    Some(sum)
}

fn count(scores: &[f64], anomalous: &[bool]) -> Option<(f64, f64)> {
    assert_eq!(scores.len(), anomalous.len(), "there must be one label for each score");
    let anomalies = anomalous.iter().filter(|&&anomalous| anomalous).count();
    let normal = anomalous.len() - anomalies;
    (anomalies > 0 && normal > 0).then_some((anomalies as f64, normal as f64))
}

fn ascending(scores: &[f64]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..scores.len()).collect();
    order.sort_unstable_by(|&a, &b| scores[a].total_cmp(&scores[b]));
    order
}

/// Stretches of `order` with equal scores, least first.
fn ties(scores: &[f64], order: &[usize]) -> Vec<Range<usize>> {
    let mut stretches = Vec::new();
    let mut start = 0;
    for end in 1..=order.len() {
        if end == order.len() || scores[order[end]] != scores[order[start]] {
            stretches.push(start..end);
            start = end;
        }
    }
    stretches
}
