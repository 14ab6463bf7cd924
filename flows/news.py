"""Whether there are new data to train on, compared with those of the registered versions.

news = look("configs/recipes/support_chat.yaml")
news.same_as  ->  Version(model="support-summarizer", version="3", ...), or None: they are new
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tasks import ingest
from tasks.config import Recipe, load_recipe
from tasks.data.newest import newest_commit
from tasks.stage import digest_of_json
from tasks.tracking.reference import is_made_from, known_versions
from tasks.tracking.registry import CHAMPION, Version


@dataclass(frozen=True)
class News:
    """What there is to train on.

    Attributes:
        recipe: With every hub data set pinned to the commit that is the newest now.
        pins: The overrides that pinned them.
        sources: Digest of each task's source.
        same_as: A version that was made from these records; None where they are new.
        reference: The champion, else the newest version; None where there is none.
    """

    recipe: Recipe
    pins: tuple[str, ...]
    sources: Mapping[str, str]
    same_as: Version | None
    reference: Version | None

    @property
    def digest(self) -> str:
        """One digest of all sources."""
        return digest_of_json(dict(self.sources))

    @property
    def champion(self) -> Version | None:
        """The version in service."""
        is_champion = self.reference is not None and CHAMPION in self.reference.aliases
        return self.reference if is_champion else None


def look(path: Path | str, overrides: Sequence[str] = ()) -> News:
    """Find the newest data of a recipe, and what was made from such data.

    Args:
        path: The recipe.
        overrides: `dotted.key=value` each.

    Raises:
        BadInput: The recipe or a source can't be used, or the hub does not answer.
    """
    pins = _pins(load_recipe(path, overrides))
    recipe = load_recipe(path, [*overrides, *pins])
    sources = ingest.files(ingest.select(recipe))
    versions = known_versions(recipe.registry.model)
    same = [version for version in versions if is_made_from(version, sources)]
    return News(
        recipe=recipe,
        pins=pins,
        sources=sources,
        same_as=same[0] if same else None,
        reference=versions[0] if versions else None,
    )


def _pins(recipe: Recipe) -> tuple[str, ...]:
    old = "train.replay.tasks" if recipe.train.replay else "forgetting.old_tasks"
    found = []
    for key, tasks in (("tasks", recipe.tasks), (old, recipe.old_tasks)):
        for number, task in enumerate(tasks):
            source = task.source
            if source.hub is not None:
                commit = newest_commit(source.hub, str(source.revision))
                found.append(f"{key}.{number}.source.revision='{commit}'")
    return tuple(found)
