"""The recipe: one YAML file that describes one run, validated whole before anything starts."""

from tasks.config.base_model import BaseModelSection, ChatTemplate
from tasks.config.evaluation import Generation, Holdout
from tasks.config.forgetting import Forgetting
from tasks.config.load import load_recipe
from tasks.config.mixture import Mixture
from tasks.config.recipe import Recipe
from tasks.config.registry import Registry
from tasks.config.section import Section
from tasks.config.split import Split
from tasks.config.task import Source, TaskSection
from tasks.config.train import Train

__all__ = [
    "BaseModelSection",
    "ChatTemplate",
    "Forgetting",
    "Generation",
    "Holdout",
    "Mixture",
    "Recipe",
    "Registry",
    "Section",
    "Source",
    "Split",
    "TaskSection",
    "Train",
    "load_recipe",
]
