"""Ray's workers run Hone's code, whatever lies in the folder that the driver was started in."""

import subprocess
import sys
from pathlib import Path

from hone.tasks import version

ROOT = Path(version.__file__).resolve().parent.parent
DRIVER = """
import ray
from hone.tasks.cluster.connection import Connection
connection = Connection()
connection.open()

@ray.remote
def found():
    import hone.tasks.version
    return hone.tasks.version.code_digest()

print(ray.get(found.remote()))
connection.close()
"""


def test_a_worker_imports_hones_code_in_a_project_with_modules_of_its_names(tmp_path: Path) -> None:
    (tmp_path / "tasks.py").write_text("raise SystemExit('tasks.py of the project was imported')\n")
    (tmp_path / "flows").mkdir()
    (tmp_path / "flows" / "__init__.py").write_text("raise SystemExit('flows of the project was imported')\n")
    script = tmp_path / "bin" / "driver.py"  # as the command is installed: elsewhere
    script.parent.mkdir()
    script.write_text(DRIVER)
    environment = {"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin", "HOME": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, str(script)],
        cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert done.stdout.strip() == version.code_digest(), done.stderr[-3000:]
