"""The cubic schedule of gradual pruning: fast at first, where many weights can go, and slow towards the end.

    s_t = s_f + (s_i - s_f) * (1 - (t - t_0) / (t_1 - t_0))^3    for t_0 <= t <= t_1

Source: Zhu and Gupta 2017, arXiv:1710.01878, equation 1, whose n * delta_t is t_1 - t_0.
"""

from dataclasses import dataclass

from hone.configs.model import PruneSettings


@dataclass(frozen=True)
class CubicSchedule:
    """When the mask grows, and to what."""

    initial: float
    """Share of zeros at `start`: s_i."""
    final: float
    """Share of zeros from `end` on: s_f."""
    start: int
    """Optimiser step, counted from 0, before which the first weights go: t_0."""
    end: int
    """Step before which the last ones go: t_1."""
    every: int
    """Steps between two masks."""

    def sparsity(self, step: int) -> float:
        """Share of zeros wanted before a step; none before `start`."""
        if step < self.start:
            return 0.0
        if step >= self.end:
            return self.final
        return self.final + (self.initial - self.final) * (1 - (step - self.start) / (self.end - self.start)) ** 3

    def grows_at(self, step: int) -> bool:
        """Whether there is a new mask before this step: every so often, and at the end in any case."""
        return step == self.end or (self.start <= step < self.end and (step - self.start) % self.every == 0)


def cubic_schedule(settings: PruneSettings, total: int) -> CubicSchedule:
    """The schedule over a training of `total` steps; its end is before the last one, which trains on what is left."""
    end = min(round(settings.schedule_end * total), total - 1)
    start = min(round(settings.schedule_start * total), end)
    return CubicSchedule(settings.initial_sparsity, settings.sparsity, start, end, settings.mask_steps)
