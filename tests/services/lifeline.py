"""No service may outlive the test that started it, however that test ends.

The kernel reports the end of a parent (PR_SET_PDEATHSIG), and a poll of the parent's id stands behind it. The kernel's signal
also comes when only the *thread* that started us ends, which is every Rust test that shares a service with others: so it is
SIGURG, which does nothing by itself (ClickHouse's profiler has taken SIGUSR1 and SIGUSR2), and it counts only when the parent's
id has changed.
"""

import ctypes
import os
import signal

PR_SET_PDEATHSIG = 1
STOPPING = {signal.SIGTERM, signal.SIGINT, signal.SIGHUP}
WATCHED = STOPPING | {signal.SIGURG}
# Loaded here, since the code between fork and exec should do as little as possible.
LIBC = ctypes.CDLL(None, use_errno=True)


class Lifeline:
    """Make it before any thread is started: the signals are blocked, which threads inherit, and fetched by `over`."""

    def __init__(self):
        self.parent = os.getppid()
        signal.pthread_sigmask(signal.SIG_BLOCK, WATCHED)
        LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGURG)

    def over(self, seconds):
        """Waits so long at most; true when it is time to go."""
        got = signal.sigtimedwait(WATCHED, seconds)
        return (got is not None and got.si_signo in STOPPING) or os.getppid() != self.parent


def child_dies_with_us():
    """For `preexec_fn`. The child must be started from the main thread, whose end is the end of the process."""
    LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    signal.pthread_sigmask(signal.SIG_SETMASK, set())
