"""The commands for servers, workers, schedules and triggers.

retune up
"""

import signal
from types import FrameType
from typing import Annotated

import typer

from flows.command import reporting
from flows.pools import Kind

app = typer.Typer()

PrefectPort = Annotated[
    int | None, typer.Option(help="Port of the Prefect server; 4200 or a free one by default.")
]
MlflowPort = Annotated[
    int | None, typer.Option(help="Port of the MLflow server; 5000 or a free one by default.")
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

    signal.signal(signal.SIGTERM, _interrupt)
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


def _interrupt(number: int, frame: FrameType | None) -> None:
    signal.signal(number, signal.SIG_IGN)  # once is enough
    raise KeyboardInterrupt
