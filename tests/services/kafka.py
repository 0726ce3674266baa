#!/usr/bin/env python3
"""A real Kafka broker (KRaft, one node) for tests.

    kafka.py [--dir DIR] [--tls-sasl] [--acls]

prints one line of JSON when the broker answers, {"bootstrap": "127.0.0.1:PORT", "tls": ..., "ca": ..., "pid": ..., "dir": ...},
and stays as the parent of Java. A line on stdin is a command, answered by one line of JSON with `done` or `error`:

    stop | kill | start         SIGTERM, SIGKILL, and the same broker again: same data, same ports
    freeze                      SIGSTOP: it answers nobody, and keeps its connections
    topics|acls|configs|delete-records ARG...
                                Kafka's own tool, which needs two seconds to start; its `status` and `output` are in the answer

Users of the second listener: plain:plain-secret and admin:admin-secret (PLAIN), scram:scram-secret (SCRAM-SHA-512). `--acls`
gives all but admin no right until `acls --add ...` does; who comes without TLS may do all.
"""

import argparse
import contextlib
import fcntl
import json
import os
import pathlib
import random
import select
import shlex
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time

import caches
import certs
from lifeline import Lifeline, child_dies_with_us

TEMPLATES = caches.HERE / "kafka"
TOOLS = {
    "topics": "org.apache.kafka.tools.TopicCommand",
    "acls": "org.apache.kafka.tools.AclCommand",
    "configs": "kafka.admin.ConfigCommand",
    "delete-records": "org.apache.kafka.tools.DeleteRecordsCommand",
}
# Quick to start rather than fast once warm.
JAVA = ("java", "-Xshare:auto", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC")
START_SECONDS, STOP_SECONDS, TOOL_SECONDS = 60, 20, 60
# A file for each port, locked by whoever was promised it. Of each user's own, so that none can be in another's way.
PORTS = pathlib.Path(tempfile.gettempdir()) / f"vedette-ports-{os.getuid()}"
# The files of ours: open, and with it locked, as long as this process lives.
PROMISED = []


class Over(Exception):
    """Told to go, or the parent has gone."""


class Failed(Exception):
    """A command did not do what it should; the text says why."""


def promise(port):
    """Whether the port is ours from now on. Java listens only seconds later, and not at all while it is stopped: whoever else
    draws meanwhile would find the port free. Where no file can be locked, every port is."""
    try:
        PORTS.mkdir(mode=0o700, parents=True, exist_ok=True)
        promised = open(PORTS / str(port), "ab")
    except OSError:
        return True
    try:
        fcntl.flock(promised, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        promised.close()
        return False
    except OSError:
        promised.close()
        return True
    PROMISED.append(promised)
    return True


def free_ports(count):
    """Ports that nobody listens at and nobody else was promised, below those that the kernel gives to outgoing connections: a
    broker that is stopped for a while must find its own again."""
    ports = []
    while len(ports) < count:
        with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", random.randrange(20000, 32000))) as held:
            port = held.getsockname()[1]
            # The same may be drawn twice.
            if port not in ports and promise(port):
                ports.append(port)
    return ports


def answers(port):
    """Whether the broker names itself in its metadata: then it has joined its controller and takes requests."""
    # Metadata, version 4: correlation id 1, no client id, no topics, create none.
    request = struct.pack(">hhihi?", 3, 4, 1, -1, 0, False)
    try:
        with socket.create_connection(("127.0.0.1", port), 2) as connection:
            connection.settimeout(2)
            connection.sendall(struct.pack(">i", len(request)) + request)
            head = connection.makefile("rb").read(16)
    except OSError:
        return False
    # Length, correlation id, throttle time, number of brokers.
    return len(head) == 16 and struct.unpack(">iiii", head)[3] >= 1


class Broker:
    def __init__(self, folder, arguments, lifeline):
        self.folder, self.lifeline, self.process = pathlib.Path(folder).resolve(), lifeline, None
        self.classpath = str(caches.kafka() / "*")
        self.heap, self.tls = arguments.heap, arguments.tls_sasl or arguments.acls
        self.folder.mkdir(parents=True, exist_ok=True)
        if any(self.folder.iterdir()):
            raise Failed(f"`{self.folder}` is not empty, expected a fresh folder")
        self.port, controller_port, self.tls_port = free_ports(3)
        names = ["server.properties.in"]
        if self.tls:
            certs.make(self.folder / "certs")
            names.append("tls-sasl.properties.in")
        if arguments.acls:
            names.append("acls.properties.in")
        text = "\n".join((TEMPLATES / name).read_text() for name in names)
        for word, value in {
            "DIR": self.folder, "PORT": self.port, "CONTROLLER_PORT": controller_port,
            "MORE_LISTENERS": f",TLS://127.0.0.1:{self.tls_port}" if self.tls else "",
        }.items():
            text = text.replace(f"@{word}@", str(value))
        self.properties = self.folder / "server.properties"
        self.properties.write_text(text)
        self.format()

    def java(self, *words, level="error"):
        """The command line; logs go to stderr."""
        return [*JAVA, f"-Dorg.slf4j.simpleLogger.defaultLogLevel={level}", "-Dorg.slf4j.simpleLogger.showDateTime=true",
                "-cp", self.classpath, *words]

    def format(self):
        users = ["--add-scram", "SCRAM-SHA-512=[name=scram,password=scram-secret]"] if self.tls else []
        # Any 16 bytes in base64 name a cluster.
        done = subprocess.run(self.java("kafka.tools.StorageTool", "format", "--config", self.properties, "--cluster-id",
                                        "dmVkZXR0ZS10ZXN0cy0wMQ", *users), capture_output=True, text=True)
        if done.returncode != 0:
            raise Failed(f"formatting failed: {done.stdout[-1000:]}{done.stderr[-1000:]}")

    def start(self):
        if self.process is not None and self.process.poll() is None:
            raise Failed("already running")
        with open(self.folder / "broker.log", "ab") as log:
            self.process = subprocess.Popen(
                self.java(f"-Xmx{self.heap}", "kafka.Kafka", str(self.properties), level="info"),
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, preexec_fn=child_dies_with_us,
            )
        until = time.monotonic() + START_SECONDS
        while not answers(self.port):
            if self.process.poll() is not None or time.monotonic() > until:
                tail = (self.folder / "broker.log").read_text(errors="replace")[-2000:]
                self.end(signal.SIGKILL)
                raise Failed(f"the broker did not start: {tail}")
            if self.lifeline.over(0.05):
                raise Over

    def end(self, how):
        """Sends the signal and waits; a broker that does not stop when asked is killed."""
        if self.process is None or self.process.poll() is not None:
            raise Failed("not running")
        self.process.send_signal(how)
        try:
            self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def tool(self, name, words):
        # The broker's own properties have no client settings: without TLS the caller may do all.
        done = subprocess.run(self.java("-Xmx128m", TOOLS[name], "--bootstrap-server", f"127.0.0.1:{self.port}", *words),
                              stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=TOOL_SECONDS,
                              preexec_fn=child_dies_with_us)
        return {"status": done.returncode, "output": done.stdout + (done.stderr if done.returncode else "")}

    def described(self):
        secured = {"tls": f"127.0.0.1:{self.tls_port}", "ca": str(self.folder / "certs/ca.pem")} if self.tls else {}
        return {"bootstrap": f"127.0.0.1:{self.port}", **secured, "pid": self.process.pid, "dir": str(self.folder)}

    def command(self, line):
        """What is to be answered to a command."""
        name, *words = shlex.split(line) or [""]
        try:
            if name in TOOLS:
                return {"done": name, **self.tool(name, words)}
            if name == "start":
                self.start()
            elif name in ("stop", "kill"):
                self.end(signal.SIGTERM if name == "stop" else signal.SIGKILL)
            elif name == "freeze":
                self.process.send_signal(signal.SIGSTOP)
            else:
                raise Failed(f"unknown command `{name}`, expected start, stop, kill, freeze, {', '.join(TOOLS)}")
        except (Failed, subprocess.TimeoutExpired) as error:
            return {"error": str(error)}
        return {"done": name, "pid": self.process.pid}


def check():
    """What is here, a line each; true when broker and engine can be started."""
    well = True
    for command in (["java", "-version"], ["mvn", "-B", "-version"], ["openssl", "version"]):
        path = shutil.which(command[0])
        words = subprocess.run(command, capture_output=True, text=True) if path else None
        # Java speaks on stderr. Maven is needed only while the cache is empty.
        print(f"{command[0]}: {(words.stdout or words.stderr).splitlines()[0] if words else 'missing'}")
        well &= path is not None or (command[0] == "mvn" and (caches.KAFKA / "libs").is_dir())
    python = caches.VENV / "bin/python"
    has_kafka = (caches.KAFKA / "libs").is_dir()
    has_engine = (caches.VENV / "made-of.txt").is_file() and caches.imports(python, "chdb.session")
    print(f"kafka: {caches.KAFKA / 'libs' if has_kafka else 'not fetched'}")
    print(f"engine: {python if has_engine else 'not fetched'}")
    return well and has_kafka and has_engine


def lines(lifeline):
    """Lines from stdin until it is time to go. The end of stdin is no such time: it may be /dev/null."""
    rest, open_still = b"", True
    while not lifeline.over(0 if open_still else 0.2):
        if not open_still or not select.select([sys.stdin], [], [], 0.2)[0]:
            continue
        data = os.read(sys.stdin.fileno(), 65536)
        open_still = data != b""
        *whole, rest = (rest + data).split(b"\n")
        yield from (line.decode() for line in whole if line.strip())
    raise Over


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dir", help="an empty folder, kept; otherwise a temporary one, removed at the end")
    parser.add_argument("--tls-sasl", action="store_true")
    parser.add_argument("--acls", action="store_true", help="with the second listener as well")
    parser.add_argument("--heap", default="512m")
    parser.add_argument("--check", action="store_true", help="says what is installed and fetched")
    arguments = parser.parse_args()
    if arguments.check:
        sys.exit(not check())

    lifeline = Lifeline()
    folder = arguments.dir or tempfile.mkdtemp(prefix="vedette-kafka-")
    broker = None
    try:
        broker = Broker(folder, arguments, lifeline)
        broker.start()
        print(json.dumps(broker.described()), flush=True)
        for line in lines(lifeline):
            print(json.dumps(broker.command(line)), flush=True)
    except Over:
        pass
    except Failed as error:
        sys.exit(f"kafka.py: {error}")
    finally:
        if broker is not None and broker.process is not None and broker.process.poll() is None:
            broker.end(signal.SIGTERM)
        if arguments.dir is None:
            shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
