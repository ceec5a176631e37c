import subprocess
import sys

import pytest

ENGINE = """
from corpus_audit.runners.process.logs import quiet_engine_logs, recent_log_lines
quiet_engine_logs()
import apache_beam
from apache_beam.options.pipeline_options import PipelineOptions
PipelineOptions(flags=[])
import logging, warnings
logging.warning("told to nobody")
warnings.warn("nor this")
print([line.split()[-1] for line in recent_log_lines()][-1], any("told to nobody" in l for l in recent_log_lines()))
"""


@pytest.mark.engine
def test_the_engine_says_nothing_on_the_terminal():
    done = subprocess.run([sys.executable, "-c", ENGINE], capture_output=True, text=True, check=True)
    assert done.stderr == ""
    assert "True" in done.stdout


LIBRARY = """
import logging
from corpus_audit.runners.process.logs import KEPT_RECORDS, quiet_engine_logs, recent_log_lines
quiet_engine_logs(); quiet_engine_logs()
for number in range(KEPT_RECORDS + 5):
    logging.getLogger("library").warning("number %d", number)
logging.getLogger("library").info("not this")
assert len(recent_log_lines()) == KEPT_RECORDS, len(recent_log_lines())
assert recent_log_lines()[-1].endswith(f"number {KEPT_RECORDS + 4}")
"""


def test_the_last_warnings_are_kept_once_each():
    done = subprocess.run([sys.executable, "-c", LIBRARY], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
