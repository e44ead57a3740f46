"""Train a model in a process of its own, and watch it."""

from circuitscope_core.launch import list_runs
from pages.ui.shared import models
from pages.ui.shared.page import begin_page
from pages.ui.train.comparison import draw_comparison
from pages.ui.train.run import draw_begun_training, offer_training
from pages.ui.train.stage_models import draw_stage_models

begin_page("Train")
begun = next(iter(list_runs(models.MODELS)), None)
if begun:
    draw_begun_training(begun)
else:
    offer_training()
draw_comparison()
draw_stage_models()
