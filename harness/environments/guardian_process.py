"""The guardian process: cleans up after a runner; `worldswitch.harness.environments.guardian` starts it."""

from __future__ import annotations

import json
import os
import select
import signal
import sys
import time

from worldswitch.harness.environments import run_resources
from worldswitch.harness.environments.guardian import Orders
from worldswitch.harness.linux import cgroups, defects, processes, startup, syscalls


class Guardian:
    """The state of a guardian process."""

    def __init__(self, orders: Orders) -> None:
        self._orders = orders
        self._alarm = self._wake_on_signals()
        self._descendants = processes.NewDescendants(adopted=syscalls.set_subreaper())
        self._command = self._start() if orders.command else 0
        self._status = 0

    def watch(self) -> int:
        """Wait for the end of runner or command, or a signal; then clean up.  Returns the command's status."""
        poll = select.poll()
        poll.register(self._orders.pipe, select.POLLIN)
        poll.register(self._alarm, select.POLLIN)
        while not self._is_over({fd for fd, _ in poll.poll()}):
            pass
        self._end()
        return self._status

    def _is_over(self, ready: set[int]) -> bool:
        ended = self._orders.pipe in ready and not os.read(self._orders.pipe, 4096)
        if self._alarm in ready:
            ended |= any(signo != signal.SIGCHLD for signo in os.read(self._alarm, 4096))
        self._reap()
        return ended or (bool(self._orders.command) and not self._command)

    def _wake_on_signals(self) -> int:
        """Return a pipe that receives SIGCHLD and the signals that would end this process."""
        reader, writer = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        for signo in (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(signo, lambda *_: None)
        signal.set_wakeup_fd(writer)
        return reader

    def _start(self) -> int:
        guardian = os.getpid()
        return processes.fork(lambda: self._become_the_command(guardian))

    def _become_the_command(self, guardian: int) -> None:
        syscalls.die_with_parent(guardian, signal.SIGKILL)
        for signo in (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGPIPE):
            signal.signal(signo, signal.SIG_DFL)
        try:
            os.execvp(self._orders.command[0], self._orders.command)
        except OSError as problem:
            print(f"{self._orders.command[0]}: {problem.strerror}", file=sys.stderr, flush=True)
            os._exit(127)

    def _reap(self) -> bool:
        """Reap dead children; True if any child is left."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return False
            if not pid:
                return True
            if pid == self._command:
                self._command = 0
                code = os.waitstatus_to_exitcode(status)
                self._status = code if code >= 0 else 128 - code

    def _end(self) -> None:
        try:
            if self._orders.run:
                run_resources.remove_containers(self._orders.run)
        finally:
            self._end_processes()
            if self._orders.run:
                run_resources.remove(self._orders.run)

    def _end_processes(self) -> None:
        if self._command and self._orders.grace:
            os.kill(self._command, signal.SIGTERM)
            deadline = time.monotonic() + self._orders.grace
            while self._reap() and self._command and time.monotonic() < deadline:
                self._pause()
        deadline = time.monotonic() + run_resources.KILL_SECONDS
        while self._reap() and time.monotonic() < deadline:
            for process in self._descendants.look().values():
                cgroups.release(process.pid)
                processes.kill(process)
            self._pause()
        cgroups.clear()

    def _pause(self) -> None:
        """Sleep until SIGCHLD or 50 ms: a grandchild's death does not raise SIGCHLD here."""
        if select.select([self._alarm], [], [], 0.05)[0]:
            os.read(self._alarm, 4096)


def main() -> int:
    """Run a guardian with the orders on the command line."""
    startup.prepare()
    try:
        return Guardian(Orders(**json.loads(sys.argv[1]))).watch()
    except Exception as error:  # else its status 1 would be that of the command
        return defects.report("guardian process: ", error)


if __name__ == "__main__":
    sys.exit(main())
