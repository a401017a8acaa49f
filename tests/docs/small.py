"""What makes the documented commands short: trainings of a few steps, measurements of a moment."""

import pytest

STEPS = 4
LAYERS = 2  # of a student, where a number of them is asked for
LEAST_TOKENS, MOST_TOKENS, FEWER = 1024, 4096, 500  # a million tokens are 2,000


def shorten(patch: pytest.MonkeyPatch) -> None:
    """Sets the patches; their values are those of the code that reads a recipe, trains and measures."""
    from bistil.evaluation import efficiency
    from bistil.pipeline.languagestages import LanguageStages
    from bistil.planning import pace
    from bistil.recipe.recipe import Recipe
    from bistil.training.ticket import Length
    from bistil.vocabulary import select

    checked, steps, language, grow = Recipe.checked, Length.steps, LanguageStages.__init__, select._grow

    def checked_small(*arguments, **named):
        recipe = checked(*arguments, **named)
        tokens = recipe.distill.tokens
        if tokens > MOST_TOKENS:  # one that was shortened before stays as it is
            tokens = max(LEAST_TOKENS, min(MOST_TOKENS, tokens // FEWER))
        layers = recipe.student.layers
        student = {"layers": min(layers, LAYERS) if isinstance(layers, int) else layers}
        anything = {"tolerance": 100.0}  # so that nothing need be found to stay in float32
        return recipe.model_copy(
            update={
                "distill": recipe.distill.model_copy(update={"tokens": tokens}),
                "student": recipe.student.model_copy(update=student),
                "export": recipe.export and recipe.export.model_copy(update=anything),
            }
        )

    def language_small(self, model, text, block, head_steps, adaptation):
        language(self, model, text, block, min(head_steps, STEPS), adaptation)

    def grow_small(closed, start, ranked, size, wanted):
        return grow(closed, start, ranked, min(size, len(ranked)), wanted)

    patch.setattr(Recipe, "checked", staticmethod(checked_small))
    patch.setattr(Length, "steps", lambda self, per_epoch: min(STEPS, steps(self, per_epoch)))
    patch.setattr(LanguageStages, "__init__", language_small)
    patch.setattr(select, "_grow", grow_small)  # of a tokenizer of two hundred tokens
    # a process for each model
    patch.setattr(efficiency, "peak_memory", lambda *_, **__: 300_000_000)
    patch.setattr(efficiency, "_ROUNDS", 2)
    patch.setattr(efficiency, "_LATENCY_TEXTS", 2)
    patch.setattr(efficiency, "_THROUGHPUT_TEXTS", 8)
    patch.setattr(pace, "_PART_SECONDS", 0.1)
    patch.setattr(pace, "_STEP_SECONDS", 0.1)
