//! `vedette evaluate table`: a detector judged on labelled feature tables, apart from windows and baselines.
//!
//! The acceptance test of the forest. As in the literature it is fitted and scored on the whole set, without labels.

use std::fmt;
use std::io::{self, Write};
use std::path::PathBuf;
use std::time::Instant;

use anyhow::Context;
use clap::{Args, ValueEnum};
use datasets::table::LabelledTable;
use datasets::table::ranking::{average_precision, midranks, roc_auc};
use detect::forest::{ForestError, IsolationForest};
use serde::Serialize;

/// What `vedette evaluate table` takes.
#[derive(Debug, Clone, Args)]
pub struct TableArgs {
    /// CSV files with a line of column names, plain, gzip or zstd; every column but the label is a feature
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// Detector to judge
    #[arg(long, value_enum, default_value_t = Detector::IsolationForest)]
    pub detector: Detector,
    /// How many times to fit and score, each with the next seed
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..))]
    pub seeds: u64,
    /// First seed
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
    /// Trees in a forest
    #[arg(long, default_value_t = 100)]
    pub trees: usize,
    /// Rows drawn for each tree
    #[arg(long, default_value_t = 256)]
    pub sample_size: usize,
    /// Column that holds 0 for normal rows and 1 for anomalies
    #[arg(long, default_value = "label")]
    pub label: String,
    /// Print JSON: an object for one file, an array for several
    #[arg(long)]
    pub json: bool,
}

/// A detector of rows in a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Detector {
    /// Splits on one feature at a time (Liu, Ting and Zhou 2008)
    IsolationForest,
    /// Splits on a random plane over two features (Hariri et al. 2019)
    ExtendedIsolationForest,
    /// Mean rank of the two
    Ensemble,
}

impl Detector {
    /// Features per split of each forest it is made of.
    fn extensions(self) -> &'static [usize] {
        match self {
            Self::IsolationForest => &[1],
            Self::ExtendedIsolationForest => &[2],
            Self::Ensemble => &[1, 2],
        }
    }
}

/// Mean and sample standard deviation over the seeds.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Spread {
    pub mean: f64,
    pub std: f64,
}

impl Spread {
    fn of(values: &[f64]) -> Self {
        let mean = values.iter().sum::<f64>() / values.len() as f64;
        let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
        Self { mean, std: (squares / (values.len().max(2) - 1) as f64).sqrt() }
    }
}

impl fmt::Display for Spread {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:.4} ± {:.4}", self.mean, self.std)
    }
}

/// How a detector did on one file; times are medians over the seeds, of fitting and scoring alone.
#[derive(Debug, Clone, Serialize)]
pub struct TableReport {
    pub file: String,
    pub rows: usize,
    pub features: usize,
    pub anomalies: usize,
    pub detector: Detector,
    pub seeds: u64,
    pub roc_auc: Spread,
    pub average_precision: Spread,
    pub fit_ms: f64,
    pub rows_per_second: f64,
}

/// Judges each file and prints the reports.
pub fn run(args: &TableArgs) -> anyhow::Result<()> {
    let reports = table(args)?;
    let text = match &reports[..] {
        [report] if args.json => serde_json::to_string_pretty(report)? + "\n",
        _ if args.json => serde_json::to_string_pretty(&reports)? + "\n",
        _ => text_of(&reports),
    };
    io::stdout().write_all(text.as_bytes())?;
    Ok(())
}

/// Judges each file.
pub fn table(args: &TableArgs) -> anyhow::Result<Vec<TableReport>> {
    let mut reports = Vec::new();
    for file in &args.files {
        let table = LabelledTable::read(file, &args.label)?;
        let name = file.display().to_string();
        reports.push(judge(&table, name, args).with_context(|| format!("cannot judge `{}`", file.display()))?);
    }
    Ok(reports)
}

/// Fits and scores once per seed.
fn judge(table: &LabelledTable, file: String, args: &TableArgs) -> anyhow::Result<TableReport> {
    let (mut aucs, mut precisions, mut fit_seconds, mut score_seconds) = (vec![], vec![], vec![], vec![]);
    for seed in args.seed..args.seed.saturating_add(args.seeds) {
        let trial = try_once(table, seed, args)?;
        aucs.push(roc_auc(&trial.scores, &table.anomalous).context("a label has no rows")?);
        precisions.push(average_precision(&trial.scores, &table.anomalous).context("a label has no rows")?);
        fit_seconds.push(trial.fit_seconds);
        score_seconds.push(trial.score_seconds);
    }
    Ok(TableReport {
        file,
        rows: table.rows(),
        features: table.features.len(),
        anomalies: table.anomalies(),
        detector: args.detector,
        seeds: args.seeds,
        roc_auc: Spread::of(&aucs),
        average_precision: Spread::of(&precisions),
        fit_ms: median(fit_seconds) * 1e3,
        rows_per_second: table.rows() as f64 / median(score_seconds),
    })
}

struct Trial {
    scores: Vec<f64>,
    fit_seconds: f64,
    score_seconds: f64,
}

fn try_once(table: &LabelledTable, seed: u64, args: &TableArgs) -> Result<Trial, ForestError> {
    let mut trial = Trial { scores: vec![], fit_seconds: 0.0, score_seconds: 0.0 };
    for &extension in args.detector.extensions() {
        let params = IsolationForest::params().trees(args.trees).sample_size(args.sample_size);
        let started = Instant::now();
        let forest = params.extension(extension).seed(seed).fit_rows(&table.values, table.features.len())?;
        trial.fit_seconds += started.elapsed().as_secs_f64();
        let fitted = Instant::now();
        let scores = forest.score_rows(&table.values);
        trial.score_seconds += fitted.elapsed().as_secs_f64();
        if args.detector != Detector::Ensemble {
            trial.scores = scores;
        } else if trial.scores.is_empty() {
            trial.scores = midranks(&scores);
        } else {
            let ranks = midranks(&scores);
            trial.scores.iter_mut().zip(ranks).for_each(|(sum, rank)| *sum += rank);
        }
    }
    Ok(trial)
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    let middle = values.len() / 2;
    if values.len() % 2 == 1 { values[middle] } else { (values[middle - 1] + values[middle]) / 2.0 }
}

fn text_of(reports: &[TableReport]) -> String {
    let width = reports.iter().map(|report| report.file.chars().count()).max().unwrap_or(0).max(4);
    let mut lines = format!(
        "{:width$}  {:>7} {:>8} {:>9}  {:>15}  {:>17}  {:>6}  {:>9}\n",
        "file", "rows", "features", "anomalies", "ROC-AUC", "average precision", "fit ms", "rows/s"
    );
    for report in reports {
        lines += &format!(
            "{:width$}  {:>7} {:>8} {:>9}  {:>15}  {:>17}  {:>6.2}  {:>9.0}\n",
            report.file,
            report.rows,
            report.features,
            report.anomalies,
            report.roc_auc.to_string(),
            report.average_precision.to_string(),
            report.fit_ms,
            report.rows_per_second
        );
    }
    if reports.len() > 1 {
        let mean = |measure: fn(&TableReport) -> f64| reports.iter().map(measure).sum::<f64>() / reports.len() as f64;
        let auc = mean(|report| report.roc_auc.mean);
        let precision = mean(|report| report.average_precision.mean);
        lines += &format!("{:width$}  {:>26}  {auc:>15.4}  {precision:>17.4}\n", "mean", "");
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        table: TableArgs,
    }

    /// 300 rows on a small grid and three far away.
    fn write_table(folder: &std::path::Path) -> String {
        let mut text = String::from("a,b,anomaly\n");
        for row in 0..300 {
            text += &format!("{},{},0\n", row % 17, row % 13);
        }
        text += "90,80,1\n-70,95,1\n85,-60,1\n";
        let path = folder.join("planted.csv");
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    }

    fn judge_with(arguments: &[&str]) -> anyhow::Result<Vec<TableReport>> {
        table(&Cli::parse_from([&["table"], arguments].concat()).table)
    }

    #[test]
    fn every_detector_finds_planted_anomalies() {
        let folder = tempfile::tempdir().unwrap();
        let path = write_table(folder.path());
        for detector in ["isolation-forest", "extended-isolation-forest", "ensemble"] {
            let arguments = [path.as_str(), "--label", "anomaly", "--detector", detector, "--seeds", "3"];
            let report = serde_json::to_value(&judge_with(&arguments).unwrap()[0]).unwrap();
            assert_eq!(report["detector"], detector);
            assert_eq!(
                (&report["rows"], &report["features"], &report["anomalies"]),
                (&303.into(), &2.into(), &3.into())
            );
            assert!(report["roc_auc"]["mean"].as_f64().unwrap() > 0.99, "{report}");
            assert!(report["average_precision"]["mean"].as_f64().unwrap() > 0.9, "{report}");
            assert!(report["roc_auc"]["std"].is_number() && report["average_precision"]["std"].is_number());
        }
    }

    #[test]
    fn errors_name_the_file_and_the_remedy() {
        let folder = tempfile::tempdir().unwrap();
        let path = write_table(folder.path());
        let message = |arguments: &[&str]| format!("{:#}", judge_with(arguments).unwrap_err());
        assert_eq!(
            message(&[&path]),
            format!("`{path}` has no column `label`, only `a`, `b`, `anomaly`; name the label's column with --label")
        );
        let no_trees = message(&[&path, "--label", "anomaly", "--trees", "0"]);
        assert!(no_trees.starts_with(&format!("cannot judge `{path}`: `trees` must be at least 1")), "{no_trees}");
    }

    #[test]
    fn spread_is_mean_and_sample_deviation() {
        let spread = Spread::of(&[1.0, 2.0, 3.0, 4.0]);
        assert_eq!(spread.mean, 2.5);
        assert!((spread.std - 1.290_994_448_735_805_6).abs() < 1e-15);
        assert_eq!(Spread::of(&[0.7]).std, 0.0);
        assert_eq!(median(vec![4.0, 1.0, 3.0, 2.0]), 2.5);
    }
}
