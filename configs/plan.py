"""A plan: what is done to a teacher, the part of a recipe that may be tried in many ways."""

from hone.configs.delivery import ExportSettings
from hone.configs.model import DistillSettings, PruneSettings, QuantizeSettings
from hone.configs.recipe import Recipe, parse_recipe
from hone.configs.section import Section


class Plan(Section):
    """The sections of a recipe that turn its teacher into a smaller model. Data, teacher and demands are not in it."""

    distill: DistillSettings = DistillSettings()
    """What the student is and how it learns from the teacher."""
    prune: PruneSettings = PruneSettings()
    """What is removed from it."""
    quantize: QuantizeSettings = QuantizeSettings()
    """How it goes down to eight bits."""
    export: ExportSettings = ExportSettings()
    """The runtime that it is exported for."""

    @classmethod
    def of(cls, recipe: Recipe) -> "Plan":
        """The plan that a recipe itself holds."""
        return cls(distill=recipe.distill, prune=recipe.prune, quantize=recipe.quantize, export=recipe.export)

    def applied_to(self, recipe: Recipe) -> Recipe:
        """The recipe with this plan in place of its own.

        Raises:
            RecipeError: when the two do not go together.
        """
        return parse_recipe(recipe.model_dump(mode="json") | self.model_dump(mode="json"), where="plan")
