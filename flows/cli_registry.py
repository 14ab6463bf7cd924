"""The commands on registered models.

retune models support-summarizer
"""

import sys
from pathlib import Path
from typing import Annotated

import typer

from flows.command import Json, print_json, print_tables, print_text, reporting

app = typer.Typer()

ModelName = Annotated[str | None, typer.Argument(help="Registered model; all when left out.")]
Model = Annotated[str, typer.Argument(metavar="MODEL", help="Registered model.")]
Approve = Annotated[
    bool, typer.Option("--approve", help="Agree to the promotion, where the recipe asks a person.")
]
Override = Annotated[
    bool, typer.Option("--override", help="Promote what failed a gate; needs --reason.")
]
Reason = Annotated[str, typer.Option("--reason", metavar="TEXT", help="For the audit line.")]
To = Annotated[
    str | None, typer.Option("--to", metavar="VERSION", help="The last champion when left out.")
]
RequirePromotion = Annotated[
    bool, typer.Option("--require-promotion", help="Exit code 3 where nothing was promoted.")
]
Keep = Annotated[int, typer.Option("--keep", min=0, help="Newest versions of a model that stay.")]
Yes = Annotated[bool, typer.Option("--yes", help="Delete; else only tell what would be deleted.")]
ModelAlias = Annotated[str, typer.Argument(metavar="MODEL@ALIAS", help="Or MODEL/VERSION.")]
Text = Annotated[
    str | None, typer.Argument(metavar="TEXT", help="The prompt; - reads standard input.")
]
Compare = Annotated[
    str | None, typer.Option("--compare", metavar="base", help="Show the base model's answer too.")
]
File = Annotated[
    Path | None, typer.Option("--file", help="JSON lines: records, or a field `prompt`.")
]
Out = Annotated[Path | None, typer.Option("--out", help="Where the answers go, as JSON lines.")]


@app.command()
@reporting()
def models(model: ModelName = None, as_json: Json = False) -> None:
    """List the registered versions, the newest first: aliases, deciding figure, age, lineage.

    `retune models support-summarizer`
    """
    from tasks.errors import BadModel
    from tasks.tracking.registry import all_versions

    _check_store()
    versions = all_versions(model)
    if model and not versions:
        raise BadModel(model, "a registered model", "none", "`retune models` lists what there is")
    if as_json:
        from flows.tables import model_document

        print_json([model_document(version) for version in versions])
    else:
        from flows.tables import models_table
        from tasks.home import without_password
        from tasks.tracking.connection import tracking_uri

        print_tables(models_table(versions, without_password(tracking_uri())))


@app.command()
@reporting()
def promote(
    model: Model,
    approve: Approve = False,
    override: Override = False,
    reason: Reason = "",
    require_promotion: RequirePromotion = False,
    as_json: Json = False,
) -> None:
    """Judge the challenger against the champion, and make it champion if it passes every gate.

    `retune promote support-summarizer`

    `retune promote support-summarizer --override --reason "The old one answers in French."`
    """
    from flows.temporary_server import temporary_server
    from tasks.errors import BadInput, NotPromoted
    from tasks.tracking.registry import challenger_of

    if override != bool(reason.strip()):
        given = "--override alone" if override else "--reason alone"
        raise BadInput("retune promote", "--override together with --reason TEXT", given)
    _check_store()
    challenger_of(model)  # known before a server is started
    with temporary_server() as wait_until_ready:
        from flows.promote import promote as promote_flow

        wait_until_ready()
        result = promote_flow(model, approve, reason.strip(), wait_for_approval_s=0)
    if as_json:
        print_json(result)
    else:
        from flows.tables import promotion_text

        print_tables(promotion_text(result))
    if require_promotion and not (result["decision"]["promote"] or result["move"]):
        raise NotPromoted(f"{model} version {result['version']} is not to be promoted")


@app.command()
@reporting()
def rollback(model: Model, to: To = None, reason: Reason = "", as_json: Json = False) -> None:
    """Make the version champion again that was it before; once more goes one further back.

    `retune rollback support-summarizer`

    `retune rollback support-summarizer --to 2 --reason "Version 4 answers too long."`
    """
    from dataclasses import asdict

    from tasks.tracking.promotion import rollback as move_back

    _check_store()
    move = move_back(model, to, reason)
    if as_json:
        print_json(asdict(move))
    else:
        print_text(f"{model}: version {move.version} is champion again, in place of {move.was}")


@app.command()
@reporting()
def verify(model: ModelAlias, as_json: Json = False) -> None:
    """Hash a version's files again, and its data where they still lie; exit code 1 if any differ.

    `retune verify support-summarizer@champion`
    """
    from dataclasses import asdict

    from tasks.home import scratch_folder
    from tasks.tracking.serving import resolve
    from tasks.tracking.verify import verify as hash_again

    _check_store()
    version = resolve(model)
    with scratch_folder() as scratch:
        verified = hash_again(version, scratch)
    if as_json:
        print_json({"model": version.model, "version": version.version, **asdict(verified)})
    else:
        from flows.tables import verified_tables

        print_tables(*verified_tables(version, verified))
    if verified.differences:
        raise typer.Exit(1)


@app.command()
@reporting()
def gc(keep: Keep = 3, yes: Yes = False, as_json: Json = False) -> None:
    """List versions and scratch that nothing needs; delete them with --yes.

    Versions with an alias, the one that a rollback leads back to and the newest ones stay, and so
    does whatever somebody else registered or copied.

    `retune gc --keep 5 --yes`
    """
    from tasks.tracking.retention import delete, find_garbage

    _check_store()
    garbage = find_garbage(keep)
    if yes:
        garbage = delete(garbage, keep)
    if as_json:
        from flows.tables import garbage_document

        print_json({"deleted": yes, **garbage_document(garbage)})
    else:
        from flows.tables import garbage_table

        print_tables(garbage_table(garbage, yes))


@app.command()
@reporting(goes_on=True)
def ask(
    model: ModelAlias,
    text: Text = None,
    compare: Compare = None,
    file: File = None,
    out: Out = None,
    as_json: Json = False,
) -> None:
    """Have a registered model complete a prompt, or every row of a file.

    `retune ask support-summarizer@champion "Summarize the following conversation. ..."`

    `retune ask support-summarizer@champion "Summarize ..." --compare base`

    `retune ask support-summarizer@champion --file chats.jsonl --out answers.jsonl`
    """
    from tasks.errors import BadInput

    if (text is None) == (file is None) or (file is None) != (out is None):
        raise BadInput("retune ask", "TEXT, or --file together with --out", "neither or both")
    if compare not in (None, "base") or (compare and file):
        raise BadInput("retune ask", "TEXT with --compare base", f"--compare {compare}")
    if text is None:
        _answer_file(model, Path(str(file)), Path(str(out)), as_json)
    else:
        prompt = sys.stdin.read() if text == "-" else text
        if not prompt.strip():
            raise BadInput("retune ask", "a prompt", "nothing", "put the text into quotes")
        _complete(model, prompt, compare is not None, as_json)


def _check_store() -> None:
    """Tell at once of a server that is away: a person need not wait for it, as runs do."""
    from tasks.tracking.connection import check_store

    check_store()


def _complete(model: str, prompt: str, compare: bool, as_json: bool) -> None:
    from tasks.home import scratch_folder
    from tasks.tracking.serving import complete, complete_by_base, resolve

    _check_store()
    version = resolve(model)
    completions = {model: complete(version, prompt)}
    if compare:
        with scratch_folder() as scratch:
            completions["base"] = complete_by_base(version, prompt, scratch)
    if as_json:
        print_json({"model": version.model, "version": version.version, "completions": completions})
    elif compare:
        for name, completion in completions.items():
            print_text(f"{name}: {completion}")
    else:
        print_text(completions[model])


def _answer_file(model: str, source: Path, out: Path, as_json: bool) -> None:
    from dataclasses import asdict
    from functools import partial

    from tasks.progress import Bar
    from tasks.tracking.batch import answer_file
    from tasks.tracking.serving import load, predict, resolve

    _check_store()
    version = resolve(model)
    answer = partial(predict, load(version))
    with Bar("ask") as bar:
        name = f"{version.model}/{version.version}"
        done = answer_file(source, out, name, answer, partial(bar.update, text=name))
    if as_json:
        said = {"model": version.model, "version": version.version, "out": str(out)}
        print_json({**said, **asdict(done)})
    else:
        print_text(f"{out}: {done.rows} rows, {done.errors} of them without an answer")
