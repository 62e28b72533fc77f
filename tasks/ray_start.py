"""Ray's own processes as Hone starts them: without the server of its dashboard.

Ray starts that server even where no dashboard is asked for, and it calls out even where usage reports are switched off:
it asks the metadata services of three clouds what machine this is, and then reports that nothing is to be reported.
Nothing of Hone asks that server for anything.

`python -m tasks.ray_start start --head ...` is `ray start --head ...` without it.
"""


def leave_dashboard_out() -> None:
    """For every Ray that this process starts from now on. Ray itself goes on where the server could not be started,
    and this is what it is told then."""
    from ray._private import services

    services.start_api_server = lambda *_, **__: (None, None)


if __name__ == "__main__":
    from ray.scripts.scripts import main

    leave_dashboard_out()
    main()
