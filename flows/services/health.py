"""Whether a service answers, and who else may have its port."""

import json
import os
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from typing import Any

import psutil

from hone.flows.services.plan import HOST, MARK, POOL, Service, Site

ANSWER_SECONDS = 5.0
RAY_SECONDS = 30.0


def healthy(service: Service, site: Site) -> bool:
    """Whether the service does its work: each is asked what only it can answer. Takes seconds at most."""
    if service.name == "prefect":
        return _get(f"{site.prefect_url}/api/health") is True
    if service.name == "mlflow":
        return _get(f"{site.mlflow_url}/health") == "OK"
    if service.name == "ray":
        return listens(site.ports.ray) and _ray_answers(site)
    workers = _get(f"{site.prefect_url}/api/work_pools/{POOL}/workers/filter", {})
    return isinstance(workers, list) and any(worker.get("status") == "ONLINE" for worker in workers)


def listens(port: int) -> bool:
    """Whether anything answers on a port of loopback."""
    with socket.socket() as probe:
        probe.settimeout(ANSWER_SECONDS)
        return probe.connect_ex((HOST, port)) == 0


def free(port: int) -> bool:
    """Whether a server could listen there now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True


def holder(port: int) -> str:
    """Who listens on a port, as far as this user may know: the command and its number, or another `hone up`."""
    listening = [one for one in psutil.net_connections("tcp") if one.status == psutil.CONN_LISTEN]
    pid = next((one.pid for one in listening if one.pid and getattr(one.laddr, "port", None) == port), None)
    try:
        process = psutil.Process(pid) if pid else None
        elsewhere = process.environ().get(MARK, "") if process else ""
        if elsewhere:
            return f"the `hone up` of {elsewhere.removesuffix('/services')}"
        return f"process {pid} ({' '.join(process.cmdline())[:100]})" if process else "a process of another user"
    except psutil.Error:
        return f"process {pid} of another user"


def _get(url: str, body: dict[str, Any] | None = None) -> Any:
    """The answer, from JSON where it is; None where there is none."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"})
    # No proxy stands between a machine and itself.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=ANSWER_SECONDS) as answer:
            text = answer.read().decode(errors="replace")
    except (OSError, ValueError, urllib.error.URLError):
        return None
    try:
        return json.loads(text)
    except ValueError:
        return text.strip()


def _ray_answers(site: Site) -> bool:
    """Ray is asked in a process of its own, as asking needs all of Ray."""
    command = [sys.executable, "-m", "ray.scripts.scripts", "health-check", "--address", f"{HOST}:{site.ports.ray}"]
    try:
        done = subprocess.run(
            command, env=os.environ | site.client(), capture_output=True, timeout=RAY_SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        return False
    return done.returncode == 0
