"""Train a model in a process of its own, and watch it."""

from circuitscope_core.launch import list_runs
from pages.ui import begin_page, models
from pages.ui.comparing import draw_comparison
from pages.ui.stage_models import draw_stage_models
from pages.ui.training_run import draw_begun_training, offer_training

begin_page("Train")
begun = next(iter(list_runs(models.MODELS)), None)
if begun:
    draw_begun_training(begun)
else:
    offer_training()
draw_comparison()
draw_stage_models()
