import subprocess
import sys

PROGRAM = """
import atexit, gc, sys, threading, time
from corpus_audit.runners.process.interpreter import prepare_interpreter

class Kept:
    def __del__(self):
        print("taken apart")

kept = Kept()
end = prepare_interpreter()
atexit.register(print, "other libraries close")
threading.Thread(target=lambda: (time.sleep(0.2), print("a thread ends"))).start()
assert gc.get_threshold()[0] > 700
"""


def ended(rest):
    done = subprocess.run([sys.executable, "-c", PROGRAM + rest], capture_output=True, text=True)
    return done.returncode, done.stdout.splitlines(), done.stderr


def test_the_process_ends_after_threads_and_exit_functions_and_takes_nothing_apart():
    output = ["a thread ends", "other libraries close"]
    assert ended("end.code = 3; sys.stdout.write('');sys.exit(3)") == (3, output, "")


def test_an_error_outside_the_command_has_its_traceback_and_exit_code():
    code, output, message = ended("raise RuntimeError('unforeseen')")
    assert (code, output[-1]) == (1, "taken apart")
    assert message.endswith("RuntimeError: unforeseen\n")
