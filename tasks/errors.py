"""The exception tree: what can go wrong, and which exit code the command line gives it.

    RetuneError                 exit 1, printed as one message
    ├── BadInput                exit 2: the user can mend it, retrying cannot
    │   ├── BadRecipe           the recipe: every issue it has, at once
    │   ├── BadData             a source file or its rows
    │   ├── BadPrompt           a prompt file or one of its templates
    │   ├── BadModel            a base model folder or a registered model
    │   ├── Overtaken           another promotion or rollback came first
    │   └── BadWorkspace        the workspace: held by another run, read-only, full
    ├── ChildFailed             the training or scoring process ended abnormally
    │   └── OutOfMemory         the kernel ended it, as memory ran out
    ├── Stopped                 ended, since work beside it failed
    ├── NotPromoted             exit 3: judged and refused, and promotion was required
    └── NeedsApproval           exit 3: the data changed so much that a person must agree

A `BadInput` says where, what was expected, what was found and how to mend it:

    >>> print(BadData("reviews.csv:7", "a label", "nothing", "fill in the column 'label'"))
    reviews.csv:7
      expected  a label
      found     nothing
      mend      fill in the column 'label'
"""

import errno
import os
import re
import shutil
import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Issue:
    """One thing that is wrong with what the user gave.

    Attributes:
        where: File, `file:line` or dotted key.
        expected: What would have been right.
        found: What was there instead.
        mend: What to do about it; may be empty where `expected` says it all.
    """

    where: str
    expected: str
    found: str
    mend: str = ""

    def __str__(self) -> str:
        lines = [self.where, f"  expected  {self.expected}", f"  found     {self.found}"]
        if self.mend:
            lines.append(f"  mend      {self.mend}")
        return "\n".join(lines)


def behind(error: BaseException) -> Iterator[BaseException]:
    """An error, its cause, the cause of that and so on; each once, for they can form a circle."""
    seen: set[int] = set()
    link: BaseException | None = error
    while link is not None and id(link) not in seen:
        yield link
        seen.add(id(link))
        link = link.__cause__ or link.__context__  # libraries wrap without `from`


def first_line(error: BaseException) -> str:
    """The first line of an error's message: libraries add pages to it."""
    return str(error).strip().partition("\n")[0]


class RetuneError(Exception):
    """Anything Retune raises on purpose."""

    exit_code = 1


class BadInput(RetuneError):
    """Input that the user can mend; never retried."""

    exit_code = 2

    def __init__(self, where: str, expected: str, found: str, mend: str = "") -> None:
        self.issues: tuple[Issue, ...] = (Issue(str(where), expected, found, mend),)
        super().__init__(str(self))

    @classmethod
    def all_of(cls, issues: Sequence[Issue]) -> "BadInput":
        """One error that reports several issues at once.

        Args:
            issues: At least one.
        """
        first = issues[0]
        error = cls(first.where, first.expected, first.found, first.mend)
        error.issues = tuple(issues)
        error.args = (str(error),)
        return error

    def __reduce__(self) -> tuple[object, tuple[tuple[Issue, ...]]]:
        return (type(self).all_of, (self.issues,))

    def __str__(self) -> str:
        return "\n".join(str(issue) for issue in self.issues)


class BadRecipe(BadInput):
    """The recipe does not validate."""


class BadData(BadInput):
    """A source file cannot be read, or too many of its rows are bad."""


class BadPrompt(BadInput):
    """A prompt file is not usable."""


class BadModel(BadInput):
    """A base model folder is not usable."""


class Overtaken(BadInput):
    """The champion is no longer the one that the decision was about; judging again may help."""


class BadWorkspace(BadInput):
    """The workspace cannot be written to, or another run holds it."""

    @classmethod
    def not_writable(cls, where: Path | str, error: OSError) -> "BadWorkspace":
        """The error for a write that failed for lack of space or permission.

        Args:
            where: The folder or file.
            error: What the system said.
        """
        mend = "make room or set RETUNE_HOME to another folder; the same command then goes on"
        return cls(
            str(where), "a folder that can be written to", error.strerror or str(error), mend
        )

    @classmethod
    def behind(cls, error: BaseException, where: Path) -> "BadWorkspace | None":
        """The lack of space or permission that caused an error; None where the cause is another.

        On a full disk, any error is put down to that.

        Args:
            error: Any error; those of libraries hide what the system said in their cause or text.
            where: The folder that was being written to, where the error does not name a file.
        """
        for link in behind(error):
            if isinstance(link, OSError) and link.errno in _NO_ROOM:
                return cls.not_writable(link.filename or where, link)
            if getattr(link, "sqlite_errorcode", None) in _NO_ROOM_SQLITE:
                return cls.not_writable(where, OSError(errno.ENOSPC, str(link)))
            match = re.search(r"\(os error (\d+)\)", str(link))  # safetensors, which is Rust
            if match and int(match[1]) in _NO_ROOM:
                return cls.not_writable(where, OSError(int(match[1]), os.strerror(int(match[1]))))
        return cls.on_a_full_disk(where)

    @classmethod
    def on_a_full_disk(cls, where: Path) -> "BadWorkspace | None":
        """The error for a folder whose disk is full; None where there is room.

        For what can't tell by itself: another process, whose log is on that disk too, or a server.
        """
        if not where.exists() or shutil.disk_usage(where).free >= _LEAST_ROOM_BYTES:
            return None
        return cls.not_writable(where, OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)))


_LEAST_ROOM_BYTES = 2**20
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES)
_NO_ROOM_SQLITE = (sqlite3.SQLITE_FULL, sqlite3.SQLITE_READONLY)


class ChildFailed(RetuneError):
    """The training or scoring process ended abnormally."""


class OutOfMemory(ChildFailed):
    """The kernel ended the process, or one of several, as memory ran out."""


class Stopped(RetuneError):
    """Work was ended because other work, beside which it ran, failed or was interrupted."""


class NotPromoted(RetuneError):
    """The challenger was judged and refused, and promotion was required."""

    exit_code = 3


class NeedsApproval(RetuneError):
    """The data changed more than the recipe allows, and nobody has agreed to train on them."""

    exit_code = 3
