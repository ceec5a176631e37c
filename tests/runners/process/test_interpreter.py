import subprocess
import sys

import pytest

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


FREED = """
import ctypes, resource, sys
from corpus_audit.runners.process.interpreter import keep_freed_memory
if sys.argv[1] == "kept" and not keep_freed_memory():
    sys.exit(77)
c = ctypes.CDLL(None)
c.malloc.restype, c.malloc.argtypes, c.free.argtypes = ctypes.c_void_p, [ctypes.c_size_t], [ctypes.c_void_p]
c.memset.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_size_t]
size = 20 << 20
for number in range(6):
    if number == 2:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    blocks = [c.malloc(size) for _ in range(3)]
    for block in blocks:
        c.memset(block, 1, size)
    for block in blocks[::-1]:
        c.free(block)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def page_faults(argument):
    done = subprocess.run([sys.executable, "-c", FREED, argument], capture_output=True, text=True)
    if done.returncode == 77:
        pytest.skip("the C library has no such parameter")
    assert done.returncode == 0, done.stderr
    return int(done.stdout)


def test_memory_that_was_freed_is_not_mapped_again():
    assert page_faults("kept") < 1000 < page_faults("returned")
