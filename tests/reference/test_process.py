"""A process with a platform forks, exits and gets ^C; no stub outlives it, and none dies before it."""

from __future__ import annotations

import json
import signal
import subprocess

from worlds import start

from worldswitch.harness.cell.supervisor import Ending, supervise


def run(script: str, interrupt: bool = False) -> tuple[Ending, str]:
    """The script's end, with what is left behind it, and what it printed."""

    def body() -> bytes:
        process = start(script)
        assert process.stdout is not None
        if interrupt:
            assert process.stdout.readline() == "running\n"
            press_ctrl_c(process)
        said, errors = process.communicate(timeout=30)
        return json.dumps(f"{process.returncode}\n{said}{errors}").encode()

    ending = supervise(body, 60)
    assert ending.payload is not None, ending.output
    return ending, json.loads(ending.payload)


def press_ctrl_c(process: subprocess.Popen[str]) -> None:
    """Once, or once more if it fell into the instant before the wait."""
    for _ in range(10):
        process.send_signal(signal.SIGINT)
        try:
            process.wait(2)
            return
        except subprocess.TimeoutExpired:
            continue


def test_exit_with_a_living_platform_leaves_nothing() -> None:
    ending, said = run("guest = stage.guest(guests.getpid_loop)\nguest.syscalls(3)\nsys.exit(7)")
    assert said == "7\n"
    assert ending.strays == ()


def test_exit_while_other_threads_switch_leaves_nothing() -> None:
    ending, said = run(
        # Died or Released, whichever it sees first
        "from worldswitch.scenarios.stage.steady_guests import outcome_of\n"
        "guest = stage.guest(guests.count_loop)\n"
        "threading.Thread(target=outcome_of, args=[guest.switch], daemon=True).start()\n"
        "while not guest.data.word(): pass\n"
        "sys.exit(7)"
    )
    assert said == "7\n"
    assert ending.strays == ()


def test_sudden_death_leaves_nothing() -> None:
    ending, said = run("stage.guest(guests.getpid_loop).syscalls(3)\nos.kill(os.getpid(), signal.SIGKILL)")
    assert said == f"{-signal.SIGKILL}\n"
    assert ending.strays == ()


FORKING = """
guest = stage.guest(guests.getpid_loop)
guest.syscalls(3)
child = os.fork()
if child == 0:
    {child}
    sys.exit(5)
_, status = os.waitpid(child, 0)
guest.syscalls(3)
stage.space()
print(os.waitstatus_to_exitcode(status), guest.data.word())
"""


def test_a_forked_childs_end_is_not_the_platforms() -> None:
    ending, said = run(FORKING.format(child="pass"))
    assert said == "0\n5 5\n"
    assert ending.strays == ()


def test_a_forked_child_cannot_close() -> None:
    child = """
    try:
        stage.platform.close()
    except WrongThread as error:
        print("belongs to process" in str(error))"""
    ending, said = run(FORKING.format(child=child.strip()))
    assert said == "0\nTrue\n5 5\n"
    assert ending.strays == ()


def test_a_forked_child_may_have_a_platform_of_its_own() -> None:
    ending, said = run(FORKING.format(child="Stage(Rehearsal()).guest(guests.getpid_loop).syscalls(3)"))
    assert said == "0\n5 5\n"
    assert ending.strays == ()


def test_ctrl_c_ends_a_guest_that_computes() -> None:
    ending, said = run(
        "guest = stage.guest(guests.count_loop)\n"
        "def tell():\n"
        "    while not guest.data.word(): pass\n"
        "    print('running')\n"
        "threading.Thread(target=tell).start()\n"
        "guest.switch()",
        interrupt=True,
    )
    assert said.startswith(f"{-signal.SIGINT}\n")
    assert said.count("KeyboardInterrupt") == 1
    assert ending.strays == ()


def test_ctrl_c_caught_leaves_the_guest_whole() -> None:
    ending, said = run(
        "guest = stage.guest(guests.count_loop)\n"
        "def tell():\n"
        "    while not guest.data.word(): pass\n"
        "    print('running')\n"
        "threading.Thread(target=tell).start()\n"
        "try:\n"
        "    guest.switch()\n"
        "except KeyboardInterrupt:\n"
        "    print(guest.state['r12'] - guest.data.word() in (0, 1) or (guest.state['r12'], guest.data.word()))\n"
        "guest.context.interrupt()\n"
        "print(guest.switch())\n",
        interrupt=True,
    )
    assert said == "0\nTrue\nInterrupted()\n"
    assert ending.strays == ()
