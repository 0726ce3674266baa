"""Vedette's isolation forest beside scikit-learn's, in one run on one core: accuracy on labelled sets, then speed.

    pip install -r benches/forest/requirements.txt
    python benches/forest/compare.py --data DIR --vedette target/release/vedette --out DIR

DIR holds ADBench's sets as CSV, plain or gzip, with a column `label`. Both programs read the same files; only fitting
and scoring are timed, never reading. Speed rounds alternate between the two, so that a busy machine slows both.
scikit-learn computes in 32-bit numbers whatever it is given, so it is given those and has nothing to convert. It stays
in one warm process; vedette starts anew each round and reports the median of three seeds.
"""

import argparse
import csv
import json
import os
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ[variable] = "1"

import numpy
import sklearn
from sklearn.ensemble import IsolationForest
from sklearn.metrics import average_precision_score, roc_auc_score

TREES, SAMPLE_SIZE = 100, 256
EXTENDED = "vedette-extended"
DETECTORS = {"vedette": "isolation-forest", EXTENDED: "extended-isolation-forest", "vedette-ensemble": "ensemble"}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder of labelled CSV files")
    parser.add_argument("--vedette", type=Path, required=True, help="the release binary")
    parser.add_argument("--out", type=Path, required=True, help="folder for accuracy.csv, speed.csv and summary.md")
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=7, help="rounds of the speed comparison")
    parser.add_argument("--rows", type=int, default=100_000, help="rows of the speed comparison")
    arguments = parser.parse_args()
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})  # inherited by vedette

    accuracy = compare_accuracy(arguments)
    speed = compare_speed(arguments)
    arguments.out.mkdir(parents=True, exist_ok=True)
    write_csv(arguments.out / "accuracy.csv", accuracy)
    write_csv(arguments.out / "speed.csv", speed)
    summary = summarise(accuracy, speed)
    (arguments.out / "summary.md").write_text(summary)
    print(summary, end="")


def compare_accuracy(arguments):
    files = sorted(path for path in arguments.data.iterdir() if ".csv" in path.suffixes)
    if not files:
        raise SystemExit(f"no CSV file in `{arguments.data}`")
    results = []
    for path in files:
        name = path.name.split(".")[0]
        measured = {"scikit-learn": scikit_learn_accuracy(path, arguments.seeds)}
        for program, detector in DETECTORS.items():
            measured[program] = run_vedette(arguments.vedette, path, detector, arguments.seeds)
        for program, report in measured.items():
            row = {"set": name, "program": program}
            for measure in ("roc_auc", "average_precision"):
                row[f"{measure}_mean"] = round(report[measure]["mean"], 5)
                row[f"{measure}_std"] = round(report[measure]["std"], 5)
            results.append(row)
    return results


def scikit_learn_accuracy(path, seeds):
    table = numpy.loadtxt(path, delimiter=",", skiprows=1)
    features, labels = table[:, :-1].astype(numpy.float32), table[:, -1]
    aucs, precisions = [], []
    for seed in range(seeds):
        _, _, scores = fit_and_score(features, seed)
        aucs.append(roc_auc_score(labels, scores))
        precisions.append(average_precision_score(labels, scores))
    return {"roc_auc": spread(aucs), "average_precision": spread(precisions)}


def compare_speed(arguments):
    results = []
    for features in (8, 16, 32):
        rows = numpy.random.default_rng(1).standard_normal((arguments.rows, features)).astype(numpy.float32)
        labels = numpy.arange(arguments.rows) % 50 == 0
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "normal.csv"
            header = ",".join([f"f{index}" for index in range(features)] + ["label"])
            table = numpy.column_stack([rows, labels])
            numpy.savetxt(path, table, fmt="%.9g", delimiter=",", header=header, comments="")
            for round_number in range(arguments.rounds):
                fit_seconds, score_seconds, _ = fit_and_score(rows, round_number)
                measured = {"scikit-learn": (fit_seconds * 1e3, arguments.rows / score_seconds)}
                for program in ("vedette", EXTENDED):
                    report = run_vedette(arguments.vedette, path, DETECTORS[program], 3, round_number)
                    measured[program] = (report["fit_ms"], report["rows_per_second"])
                for program, (fit_ms, rows_per_second) in measured.items():
                    results.append({
                        "features": features, "rows": arguments.rows, "round": round_number, "program": program,
                        "fit_ms": round(fit_ms, 3), "rows_per_second": round(rows_per_second),
                    })
    return results


def fit_and_score(features, seed):
    forest = IsolationForest(n_estimators=TREES, max_samples=SAMPLE_SIZE, random_state=seed)
    started = time.perf_counter()
    forest.fit(features)
    fitted = time.perf_counter()
    scores = -forest.score_samples(features)
    return fitted - started, time.perf_counter() - fitted, scores


def run_vedette(binary, path, detector, seeds, seed=0):
    command = [binary, "evaluate", "table", path, "--detector", detector, "--json"]
    command += ["--seeds", str(seeds), "--seed", str(seed), "--trees", str(TREES), "--sample-size", str(SAMPLE_SIZE)]
    return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)


def spread(values):
    return {"mean": statistics.mean(values), "std": statistics.stdev(values) if len(values) > 1 else 0.0}


def write_csv(path, rows):
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0].keys(), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def summarise(accuracy, speed):
    programs = ["scikit-learn", *DETECTORS]
    lines = [f"scikit-learn {sklearn.__version__}, numpy {numpy.__version__}.", ""]
    for measure, title in (("roc_auc", "ROC-AUC"), ("average_precision", "average precision")):
        lines += [f"| {title} | {' | '.join(programs)} |", "| --- |" + " --- |" * len(programs)]
        means = {program: [] for program in programs}
        for name in dict.fromkeys(row["set"] for row in accuracy):
            cells = []
            for program in programs:
                row = next(row for row in accuracy if (row["set"], row["program"]) == (name, program))
                means[program].append(row[f"{measure}_mean"])
                cells.append(f"{row[f'{measure}_mean']:.4f} ± {row[f'{measure}_std']:.4f}")
            lines.append(f"| {name} | {' | '.join(cells)} |")
        cells = [f"{statistics.mean(means[program]):.4f}" for program in programs]
        lines += [f"| **mean** | {' | '.join(cells)} |", ""]

    lines += ["| features | program | fit, ms | rows scored/s | times scikit-learn |", "| --- |" + " --- |" * 4]
    for features in dict.fromkeys(row["features"] for row in speed):
        medians = {}
        for program in dict.fromkeys(row["program"] for row in speed):
            rows = [row for row in speed if (row["features"], row["program"]) == (features, program)]
            fit_ms = statistics.median(row["fit_ms"] for row in rows)
            medians[program] = statistics.median(row["rows_per_second"] for row in rows)
            ratio = medians[program] / medians["scikit-learn"]
            lines.append(f"| {features} | {program} | {fit_ms:.1f} | {medians[program]:,.0f} | {ratio:.2f} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
