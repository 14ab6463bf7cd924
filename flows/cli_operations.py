"""The commands for servers, workers, schedules and triggers.

retune up
"""

import signal
from typing import Annotated, Any

import typer

from flows.command import (
    Json,
    Overrides,
    RecipeFile,
    check_free,
    interrupt,
    print_json,
    print_text,
    reporting,
)
from flows.pools import Kind

app = typer.Typer()

PrefectPort = Annotated[
    int | None,
    typer.Option(
        min=1, max=65535, help="Port of the Prefect server; 4200 or a free one by default."
    ),
]
MlflowPort = Annotated[
    int | None,
    typer.Option(
        min=1, max=65535, help="Port of the MLflow server; 5000 or a free one by default."
    ),
]
Pool = Annotated[str, typer.Option(help="Work pool of the worker.")]
DeployPool = Annotated[
    str | None, typer.Option("--pool", help="Work pool; that of prefect.yaml when left out.")
]
PoolKind = Annotated[Kind, typer.Option("--type", help="Kind of the pool, where it is new.")]
Accelerators = Annotated[
    int | None,
    typer.Option(min=1, help="Trainings and scorings at once, one per GPU; 1 when left out."),
]
Approve = Annotated[
    bool, typer.Option("--approve", help="Train also on data that changed more than allowed.")
]
Force = Annotated[bool, typer.Option("--force", help="Go on also where the data are not new.")]
FlowRun = Annotated[str, typer.Argument(metavar="FLOW_RUN", help="Id of the flow run.")]
Who = Annotated[str, typer.Option("--by", metavar="NAME", help="Who answers, for the record.")]
No = Annotated[bool, typer.Option("--no", help="Refuse.")]
Comment = Annotated[str, typer.Option(metavar="TEXT", help="Why, for the record.")]


@app.command()
@reporting()
def up(
    prefect_port: PrefectPort = None, mlflow_port: MlflowPort = None, pool: Pool = "retune"
) -> None:
    """Run Prefect, MLflow and a worker on this machine until Ctrl-C, on the state of earlier runs.

    `retune up`

    `retune up --prefect-port 4300 --mlflow-port 5300`
    """
    from flows.services import Ports, services

    signal.signal(signal.SIGINT, interrupt)  # a shell's background jobs ignore it
    try:
        with services(Ports(prefect_port, mlflow_port), pool) as found:
            for service in found.services:
                typer.echo(f"{service.name:<8} {service.address}", err=True)
            typer.echo(
                f"For other programs: export PREFECT_API_URL={found.services[0].address}", err=True
            )
            typer.echo("Ready. Ctrl-C ends them.", err=True)
            found.watch(lambda line: typer.echo(line, err=True))
    except KeyboardInterrupt:
        typer.echo("Ended.", err=True)


@app.command()
@reporting()
def deploy(
    pool: DeployPool = None, kind: PoolKind = Kind.process, accelerators: Accelerators = None
) -> None:
    """Make work pool, concurrency limit and deployments on the Prefect server, from prefect.yaml.

    `retune deploy`

    `retune deploy --pool cluster --type kubernetes --accelerators 8`
    """
    from flows.deploy import deploy as make_deployments

    for name, chosen in make_deployments(pool, kind, accelerators):
        typer.echo(f"{name:<10} in the pool {chosen}", err=True)
    typer.echo("Deployed. `retune up` has a worker; others: `prefect worker start`.", err=True)


@app.command()
@reporting(goes_on=True)
def retrain(
    recipe: RecipeFile,
    overrides: Overrides = None,
    approve: Approve = False,
    force: Force = False,
    as_json: Json = False,
) -> None:
    """Fine-tune on new data, if there are any, and promote or keep the result.

    `retune retrain configs/recipes/support_chat.yaml`
    """
    from flows.temporary_server import temporary_server

    check_free(recipe, overrides or [])  # Prefect keeps the parameters, a refused password too
    with temporary_server() as wait_until_ready:
        from flows.retrain import retrain as retrain_flow

        wait_until_ready()
        result: Any = retrain_flow(str(recipe), overrides, approve, force)
    if as_json:
        print_json(result)
    else:
        print_text("\n".join([f"{result['model']}: {result['outcome']}", *result["reasons"]]))


@app.command()
@reporting()
def approve(
    flow_run: FlowRun, who: Who, no: No = False, comment: Comment = "", as_json: Json = False
) -> None:
    """Answer a flow run that waits for approval, as the form on Prefect's page does.

    `retune approve 5d41c1b0-... --by Ana`

    `retune approve 5d41c1b0-... --by Ana --no --comment "The export was cut off."`
    """
    from flows.approve import answer

    resumed = answer(flow_run, not no, who, comment)
    if as_json:
        print_json(resumed)
    else:
        print_text(f"{resumed['name']}: {'refused' if no else 'approved'}; the run goes on.")
