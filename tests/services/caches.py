"""Where the services' programs are kept, and how they get there. Once filled, nothing here needs a network.

`fetch.sh` fills both caches. They are filled under a lock and moved into place whole, so tests may start at the same time.
"""

import contextlib
import fcntl
import os
import pathlib
import shutil
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
CACHE = pathlib.Path(os.environ.get("VEDETTE_SERVICES", pathlib.Path.home() / ".cache/vedette/services"))
VENV = CACHE / "venv"
KAFKA_VERSION = "4.1.1"
KAFKA = CACHE / f"kafka-{KAFKA_VERSION}"


@contextlib.contextmanager
def locked(name):
    CACHE.mkdir(parents=True, exist_ok=True)
    with open(CACHE / f".{name}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def run(*command):
    """A failing command's own words go to stderr; its success is nobody's business."""
    done = subprocess.run([str(word) for word in command], stdin=subprocess.DEVNULL, capture_output=True, text=True)
    if done.returncode != 0:
        sys.stderr.write(done.stdout + done.stderr)
        raise SystemExit(f"`{' '.join(map(str, command))}` failed with {done.returncode}")
    return done.stdout


def has_engine(python):
    return subprocess.run([python, "-c", "import chdb.session"], capture_output=True).returncode == 0


def engine():
    """The Python that has the engine. A venv cannot be moved, so a half made one is made again in place."""
    python = VENV / "bin/python"
    wanted = (HERE / "requirements.txt").read_text()
    made_of = VENV / "made-of.txt"
    with locked("venv"):
        if not made_of.is_file() or made_of.read_text() != wanted:
            shutil.rmtree(VENV, ignore_errors=True)
            run(sys.executable, "-m", "venv", VENV)
            # Without pandas, pyarrow and numpy: they are only for results as data frames, and are larger than all the rest.
            run(python, "-m", "pip", "install", "--quiet", "--no-deps", "-r", HERE / "requirements.txt")
            if not has_engine(python):
                raise SystemExit(f"`{python}` cannot import chdb.session")
            made_of.write_text(wanted)
    return python


def kafka():
    """The folder of Kafka's jars."""
    libs = KAFKA / "libs"
    if libs.is_dir():
        return libs
    with locked("kafka"):
        if libs.is_dir():
            return libs
        fresh = CACHE / f".kafka-{os.getpid()}"
        shutil.rmtree(fresh, ignore_errors=True)
        run("mvn", "-q", "-B", "-f", HERE / "kafka/pom.xml", "dependency:copy-dependencies",
            f"-Dkafka.version={KAFKA_VERSION}", f"-DoutputDirectory={fresh / 'libs'}", "-DincludeScope=runtime")
        shutil.rmtree(KAFKA, ignore_errors=True)
        fresh.rename(KAFKA)
    return libs


def become_engine_python():
    """Starts this program again under the venv's Python: same process, so the same parent watches it."""
    python = VENV / "bin/python"
    if pathlib.Path(sys.prefix).resolve() == VENV.resolve():
        return
    if not (VENV / "made-of.txt").is_file():
        raise SystemExit(f"no ClickHouse engine in `{VENV}`: run tests/services/fetch.sh once")
    os.execv(python, [str(python), *sys.argv])


if __name__ == "__main__":
    print(f"engine: {engine()}")
    print(f"kafka: {kafka()}")
