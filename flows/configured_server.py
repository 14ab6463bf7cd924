"""Checks the Prefect server that the user has configured.

check_server()
-> BadInput: http://127.0.0.1:4200/api
     expected  a Prefect server that answers
     found     [Errno 111] Connection refused
     mend      start one with `retune up`, or set PREFECT_API_URL to yours (http://HOST:PORT/api)
"""

import os
from http import HTTPStatus
from pathlib import Path

from tasks.errors import BadInput, first_line


def is_configured() -> bool:
    """Whether the user has told Prefect which server to use."""
    if "PREFECT_API_URL" in os.environ or "PREFECT_PROFILE" in os.environ:
        return True
    return (Path(os.environ["PREFECT_HOME"]) / "profiles.toml").exists()


def check_server() -> None:
    """Return if the server answers, and answers to this user.

    Raises:
        BadInput: None is configured, it is away, it is something else, or it wants a password.
    """
    if not is_configured():
        raise _no_server("PREFECT_API_URL", "nothing")
    from prefect.client.orchestration import get_client
    from prefect.exceptions import PrefectHTTPStatusError

    with get_client(sync_client=True) as client:
        where = str(client.api_url)
        if error := client.api_healthcheck():
            raise _no_server(where, first_line(error))
        try:
            client.hello()
        except PrefectHTTPStatusError as error:
            if error.response.status_code != HTTPStatus.UNAUTHORIZED:
                raise
            mend = "set PREFECT_API_AUTH_STRING=USER:PASSWORD"
            raise BadInput(where, "the server's password", "none, or another one", mend) from None


def _no_server(where: str, found: str) -> BadInput:
    mend = "start one with `retune up`, or set PREFECT_API_URL to yours (http://HOST:PORT/api)"
    return BadInput(where, "a Prefect server that answers", found, mend)
