import subprocess
import sys
import time

from tasks.evaluate import machine


def test_hardware_is_the_same_when_asked_twice():
    assert machine.hardware() == machine.hardware()
    assert machine.hardware()["cpu"]
    assert machine.hardware()["cores"] >= 1


def test_versions_name_python_and_the_runtime_that_is_installed():
    found = machine.versions()
    assert found["python"].startswith("3.")
    assert "onnxruntime" in found or "onnxruntime-gpu" in found
    assert "torch" in found


def test_what_the_measured_processes_take_is_not_background():
    busy = "import time\nend = time.monotonic() + 1.5\nwhile time.monotonic() < end: pass"
    load = machine.BackgroundLoad()
    before = machine._busy_seconds(), time.monotonic()
    subprocess.run([sys.executable, "-c", busy], check=True)
    all_of_it = (machine._busy_seconds() - before[0]) / (time.monotonic() - before[1]) / machine.psutil.cpu_count()
    assert 0 <= load.share() < all_of_it
