"""Times one call, over and over."""

import gc
import time
from collections.abc import Callable

WARM_UP_CALLS = 3
WARM_UP_SECONDS = 0.1
MIN_SAMPLES = 3


def time_calls(call: Callable[[], object], samples: int, seconds: float) -> list[float]:
    """Milliseconds of each timed call, after a warm-up that is not counted.

    Args:
        samples: timed calls, at most.
        seconds: no further call is timed after this long, once `MIN_SAMPLES` are taken.
    """
    begun = time.perf_counter()
    warm_ups = 0
    while warm_ups < WARM_UP_CALLS or time.perf_counter() - begun < WARM_UP_SECONDS:
        call()
        warm_ups += 1
    taken: list[float] = []
    collecting = gc.isenabled()
    gc.disable()
    try:
        begun = time.perf_counter()
        while len(taken) < samples and (len(taken) < MIN_SAMPLES or time.perf_counter() - begun < seconds):
            started = time.perf_counter()
            call()
            taken.append((time.perf_counter() - started) * 1000)
    finally:
        if collecting:
            gc.enable()
    return taken
