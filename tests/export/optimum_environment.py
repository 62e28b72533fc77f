"""An environment with Optimum, whose release wants an older transformers than Hone's: only what differs is installed,
and torch, onnxruntime and the rest are seen through a .pth file. Made once, in `.venv/optimum`, in a few seconds."""

import fcntl
import importlib.util
import os
import subprocess
import sys
import sysconfig
from pathlib import Path
from types import ModuleType

ROOT = Path(__file__).parents[2]
PLACE = ROOT / ".venv" / "optimum"
DIFFERENT = (
    "optimum==2.3.0",
    "optimum-onnx==0.1.0",
    "transformers==4.57.6",
    "huggingface-hub==0.36.2",
    "tokenizers==0.22.2",
)


def python() -> Path:
    """The interpreter of that environment, which is made where it is not there yet."""
    PLACE.parent.mkdir(exist_ok=True)
    with PLACE.with_suffix(".lock").open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        stamp = PLACE / "made.txt"
        if not stamp.exists() or stamp.read_text() != "\n".join(DIFFERENT):
            _make()
            stamp.write_text("\n".join(DIFFERENT))
    return PLACE / "bin" / "python"


def _make() -> None:
    uv = Path(sys.executable).parent / "uv"
    environment = {"UV_INDEX_STRATEGY": "unsafe-best-match", **_setup_venv().pip_settings(), **os.environ}
    subprocess.run([uv, "venv", "--quiet", "--clear", "--python", sys.executable, PLACE], check=True, env=environment)
    install = [uv, "pip", "install", "--quiet", "--no-deps", "--python", PLACE / "bin" / "python"]
    subprocess.run([*install, *DIFFERENT], check=True, env=environment)
    (own,) = (PLACE / "lib").glob("python*/site-packages")
    (own / "hone.pth").write_text(f"{Path(sysconfig.get_paths()['purelib']).resolve()}\n")


def _setup_venv() -> ModuleType:
    """The script that hands pip's settings to uv; it is no package."""
    spec = importlib.util.spec_from_file_location("setup_venv", ROOT / "infra" / "setup_venv.py")
    if spec is None or spec.loader is None:
        raise FileNotFoundError("infra/setup_venv.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
