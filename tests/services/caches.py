"""Where the services' programs are kept, and how they get there. Once filled, nothing here needs a network.

`fetch.sh` fills the caches. They are filled under a lock and moved into place whole, so tests may start at the same time.
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
# Apart from the engine's, so that neither is fetched again when the other's list changes.
AWS = CACHE / "aws"
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


def imports(python, modules):
    return subprocess.run([python, "-c", f"import {modules}"], capture_output=True).returncode == 0


def venv(folder, requirements, modules):
    """A Python that has these modules. A venv cannot be moved, so a half made one is made again in place."""
    python = folder / "bin/python"
    wanted = (HERE / requirements).read_text()
    made_of = folder / "made-of.txt"
    with locked(folder.name):
        if not made_of.is_file() or made_of.read_text() != wanted:
            shutil.rmtree(folder, ignore_errors=True)
            run(sys.executable, "-m", "venv", folder)
            run(python, "-m", "pip", "install", "--quiet", "--no-deps", "-r", HERE / requirements)
            if not imports(python, modules):
                raise SystemExit(f"`{python}` cannot import {modules}")
            made_of.write_text(wanted)
    return python


def engine():
    """Without pandas, pyarrow and numpy: they are only for results as data frames, and are larger than all the rest."""
    return venv(VENV, "requirements.txt", "chdb.session")


def aws():
    return venv(AWS, "requirements-aws.txt", "moto.server, moto.iot.responses, moto.iotdata.responses")


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


def become(folder, what):
    """Starts this program again under the venv's Python: same process, so the same parent watches it."""
    python = folder / "bin/python"
    if pathlib.Path(sys.prefix).resolve() == folder.resolve():
        return
    if not (folder / "made-of.txt").is_file():
        raise SystemExit(f"no {what} in `{folder}`: run tests/services/fetch.sh once")
    os.execv(python, [str(python), *sys.argv])


def become_engine_python():
    become(VENV, "ClickHouse engine")


def become_aws_python():
    become(AWS, "moto")


if __name__ == "__main__":
    print(f"engine: {engine()}")
    print(f"kafka: {kafka()}")
    print(f"aws: {aws()}")
