"""Makes `.venv` from the lock, with nothing but Python 3.11, 3.12 or 3.13: `python3 infra/setup_venv.py`.

uv resolves and installs in a tenth of the time the pip of Python 3.11 needs, but it does not read pip's settings. A
machine whose pip knows an index or a folder with a CPU build of torch gets the same from uv, as this script hands them
over.

Bytecode of what is imported is written by the first import, which takes a minute less than writing all of it. Where
those who run Hone may not write into the environment, as in an image, every process would compile torch anew:
`--compile` writes it.
"""

import hashlib
import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / os.environ.get("HONE_VENV", ".venv")
LOCK = ROOT / "infra" / "requirements.lock"
PROJECT = ROOT / "pyproject.toml"
STAMP = VENV / "hone.stamp"
VERSIONS = ((3, 11), (3, 12), (3, 13))


def pip_settings() -> dict[str, str]:
    """pip's effective settings, from its files and PIP_* variables, as the UV_* variables that mean the same."""
    listing = subprocess.run(
        [VENV / "bin" / "pip", "config", "list"], capture_output=True, text=True, check=True
    ).stdout
    found = {
        key: value for _scope, key, value in re.findall(r"^(global|install|:env:)\.([\w-]+)='(.*)'$", listing, re.M)
    }
    uv: dict[str, str] = {}
    if "find-links" in found:
        uv["UV_FIND_LINKS"] = ",".join(re.split(r"\s+|\\n", found["find-links"].strip()))
    if "index-url" in found:
        uv["UV_DEFAULT_INDEX"] = found["index-url"]
    if "extra-index-url" in found:
        uv["UV_INDEX"] = " ".join(re.split(r"\s+|\\n", found["extra-index-url"].strip()))
    if "cert" in found:
        uv["SSL_CERT_FILE"] = found["cert"]
    return uv


def main() -> None:
    """Installs the lock and the project itself, unless the stamp says that this very lock is installed already."""
    if sys.version_info[:2] not in VERSIONS:
        known = ", ".join(f"{major}.{minor}" for major, minor in VERSIONS)
        sys.exit(f"Hone is locked for Python {known}, and this is {sys.version.split()[0]}: make PYTHON=python3.12")
    version = f"python{sys.version_info[0]}.{sys.version_info[1]}"
    fingerprint = hashlib.sha256(LOCK.read_bytes() + PROJECT.read_bytes() + version.encode()).hexdigest()
    if STAMP.exists() and STAMP.read_text() == fingerprint:
        return
    print(f"installing the locked dependencies into {VENV}: some 3 GB, a minute or a few", flush=True)
    STAMP.unlink(missing_ok=True)
    if not ((VENV / "bin" / "pip").exists() and (VENV / "lib" / version).is_dir()):
        subprocess.run([sys.executable, "-m", "venv", "--clear", VENV], check=True)
    if not (VENV / "bin" / "uv").exists():
        subprocess.run([VENV / "bin" / "pip", "install", "--quiet", "uv>=0.9"], check=True)
    environment = {"UV_INDEX_STRATEGY": "unsafe-best-match", **pip_settings(), **os.environ}
    install = [VENV / "bin" / "uv", "pip", "install", "--python", VENV / "bin" / "python", "--quiet"]
    subprocess.run([*install, "-r", LOCK, "--override", ROOT / "infra" / "overrides.txt"], check=True, env=environment)
    subprocess.run([*install, "--no-deps", "-e", ROOT], check=True, env=environment)
    if "--compile" in sys.argv:
        packages = next((VENV / "lib").glob("python3.*/site-packages"))
        compile_all = [VENV / "bin" / "python", "-m", "compileall", "-q", "-j", "0", packages]
        subprocess.run(compile_all, check=False, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    STAMP.write_text(fingerprint)


if __name__ == "__main__":
    main()
