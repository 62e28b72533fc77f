"""What a test asks about processes that may end while it asks."""

import os

import psutil


def below(pid: int | None = None) -> list[tuple[psutil.Process, str]]:
    """The processes started below one, this one unless told, each with its command; without what has ended, even
    where it ends in the middle of the question."""
    found = []
    try:
        descendants = psutil.Process(os.getpid() if pid is None else pid).children(recursive=True)
    except psutil.Error:
        return []
    for process in descendants:
        try:
            command = " ".join(process.cmdline())
        except psutil.Error:  # gone, or a zombie that nobody has waited for yet
            continue
        found.append((process, command))
    return found


def training_workers(pid: int | None = None) -> list[psutil.Process]:
    """Ray Train's workers among them."""
    return [process for process, command in below(pid) if "RayTrainWorker" in command]


def runs(process: psutil.Process) -> bool:
    """Whether it still does; a zombie that nobody has waited for does not."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False
