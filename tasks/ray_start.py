"""Ray's own processes as Hone starts them: its API server cannot call out.

Ray starts that server even where no dashboard is asked for, and Ray Train asks it which actors live. Whatever is said
of usage reports, it asks the metadata services of three clouds what machine this is, and under `ray start` it then
reports that nothing is to be reported. So it is given a proxy at an address of this machine where nobody listens.

`python -m hone.tasks.ray_start start --head ...` is `ray start --head ...` so.
"""

from functools import partial
from typing import Any

from hone.tasks.environment import temporary_variables

NOWHERE = "http://127.0.0.1:9"
DIRECT = ("127.0.0.1", "localhost", "::1")


def keep_to_this_machine() -> None:
    """For every Ray that this process starts from now on."""
    from ray._private import services

    if not isinstance(services.start_api_server, partial):
        services.start_api_server = partial(_start, services.start_api_server)


def _start(start_api_server: Any, *arguments: Any, **named: Any) -> Any:
    """Calls Ray's own function; the process that it starts inherits these variables."""
    addresses = [str(value).rpartition(":")[0] or str(value) for value in arguments if isinstance(value, str)]
    direct = ",".join([*DIRECT, *addresses])
    proxies = {"http_proxy": NOWHERE, "https_proxy": NOWHERE, "no_proxy": direct}
    proxies |= {name.upper(): value for name, value in proxies.items()}
    with temporary_variables(proxies):
        return start_api_server(*arguments, **named)


if __name__ == "__main__":
    from ray.scripts.scripts import main

    keep_to_this_machine()
    main()
