#!/usr/bin/env python3
"""Traffic for the tests: `talk.py serve` echoes, `talk.py` does what its standard input says and answers `ok` or `no`.

Each line of it has a word, an address, and how many seconds that may take.
"""

import socket
import sys
import threading
import time

ECHO, FLOOD, LEASES = 7777, 7778, 67
# Datagrams at once that a receiver's buffer holds, however late the receiver is.
PORTION = 100


def echo(connection):
    try:
        while data := connection.recv(4096):
            connection.sendall(data)
    except OSError:
        pass


def serve():
    listener = socket.create_server(("::", ECHO), family=socket.AF_INET6, dualstack_ipv6=True, backlog=64)
    flood = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    flood.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
    flood.bind(("0.0.0.0", FLOOD))
    counted = [0]

    def count():
        while True:
            data, sender = flood.recvfrom(2048)
            if data == b"count":
                flood.sendto(str(counted[0]).encode(), sender)
            else:
                counted[0] += 1

    def lease():
        """In the place of a DHCP server: it answers."""
        leases = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        leases.bind(("0.0.0.0", LEASES))
        while True:
            data, sender = leases.recvfrom(2048)
            leases.sendto(data, sender)

    threading.Thread(target=count, daemon=True).start()
    threading.Thread(target=lease, daemon=True).start()
    while True:
        connection, _ = listener.accept()
        threading.Thread(target=echo, args=(connection,), daemon=True).start()


class Talker:
    def __init__(self):
        self.connections = {}
        self.sent = 0

    def open(self, address, patience):
        """A new connection, beside the one that stands."""
        connection = socket.create_connection((address, ECHO), timeout=patience)
        self.connections.setdefault(address, connection)

    def say(self, address, patience):
        """Over the connection that stands: what was lost before is repeated by TCP, so each word is told from the others."""
        connection = self.connections[address]
        self.sent = self.sent % 255 + 1
        connection.sendall(bytes([self.sent]))
        until = time.monotonic() + patience
        while True:
            connection.settimeout(max(until - time.monotonic(), 0.001))
            data = connection.recv(4096)
            if not data:
                raise OSError("closed")
            if self.sent in data:
                return

    def flood(self, address, patience):
        """Not faster than the receiver takes it."""
        for _ in range(3):
            self.send(address, PORTION)
            self.count(address, patience)

    def rush(self, address, _):
        """As many, and nothing is waited for: the pace is what a throttle goes by."""
        self.send(address, 3 * PORTION)

    def send(self, address, datagrams):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            for _ in range(datagrams):
                sender.sendto(bytes(1000), (address, FLOOD))
                time.sleep(0.001)

    def renew(self, address, patience):
        self.ask(b"lease", (address, LEASES), patience)

    def count(self, address, patience):
        """Once it stands still: what is on its way comes first."""
        before, now = None, self.ask(b"count", (address, FLOOD), patience)
        while now != before:
            time.sleep(0.05)
            before, now = now, self.ask(b"count", (address, FLOOD), patience)
        return now.decode()

    def ask(self, word, whom, patience):
        """What is answered; a word that was lost is said again."""
        until = time.monotonic() + patience
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asker:
            while (left := until - time.monotonic()) > 0:
                asker.settimeout(min(left, 0.5))
                asker.sendto(word, whom)
                try:
                    return asker.recv(64)
                except socket.timeout:
                    pass
        raise OSError("nobody answers")


def main():
    talker = Talker()
    for line in sys.stdin:
        word, address, patience = line.split()
        try:
            print("ok", getattr(talker, word)(address, float(patience)) or "", flush=True)
        except OSError as error:
            print("no", error, flush=True)


if __name__ == "__main__":
    serve() if sys.argv[1:] == ["serve"] else main()
