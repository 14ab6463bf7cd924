"""How quickly a served version answers, with 1, 8 and 32 clients.

    python benchmarks/serving.py --model models/pocket-flan

A version is packed as `register` packs it and served by `mlflow models serve` on this machine's
loopback; each client sends ready prompts, one after the other. Latency is that of whole HTTP
requests. Results go to benchmarks/results/serving.json, with the load of the machine beforehand:
figures of a busy machine say little.
"""

import argparse
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results" / "serving.json"
CHATS = ROOT / "data" / "support_chat.jsonl"
CLIENTS = (1, 8, 32)
STARTUP_S = 300.0
TIMEOUT_S = 120.0
PROMPT = "Summarize the following conversation.\n\n{dialogue}"
TEMPLATE = {"name": "plain", "heldout": False, "prompt": "{{ dialogue }}", "completion": "{{ s }}"}
PROMPTS = {
    "name": "dialogue", "version": "1", "task": "summarization", "slots": ["dialogue"],
    "target": "s", "choices": [], "digest": "", "templates": [TEMPLATE],
}  # fmt: skip


def packed(model: Path, max_new_tokens: int, folder: Path) -> Path:
    """A version of a model folder, as it lies in the registry."""
    from tasks.tracking.package import Package, save_package

    prompts = folder / "prompts"
    prompts.mkdir()
    (prompts / "chat.json").write_text(json.dumps(PROMPTS), encoding="utf-8")
    settings = {"max_prompt_tokens": 512, "max_new_tokens": max_new_tokens}
    settings |= {"temperature": 0.0, "top_p": 1.0, "seed": 7}
    package = Package(model.absolute(), prompts, "", settings, {"prompt": "Hello"})
    return save_package(package, folder / "scratch", "m-1", "run", "here")


@contextmanager
def served(version: Path, folder: Path) -> Iterator[int]:
    """The port of a server that answers."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = int(free.getsockname()[1])
    command = [sys.executable, "-m", "mlflow", "models", "serve", "-m", str(version)]
    command += ["--env-manager", "local", "-h", "127.0.0.1", "-p", str(port)]
    # MLflow starts `uvicorn` by its name, which an environment that is not activated does not know.
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    with (folder / "serve.log").open("wb") as log:
        server = subprocess.Popen(
            command,
            cwd=folder,
            env={**os.environ, "PATH": path},
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        deadline = time.monotonic() + STARTUP_S
        while not is_up(port):
            if server.poll() is not None or time.monotonic() > deadline:
                raise SystemExit((folder / "serve.log").read_text(errors="replace"))
            time.sleep(0.2)
        yield port
    finally:
        os.killpg(server.pid, signal.SIGKILL)
        server.wait()


def is_up(port: int) -> bool:
    """Whether the server answers its health check."""
    try:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        connection.request("GET", "/ping")
        return connection.getresponse().status == http.client.OK
    except OSError:
        return False


def client(port: int, prompts: Sequence[str]) -> list[float]:
    """Send prompts one after the other; the seconds that each took."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=TIMEOUT_S)
    seconds = []
    for prompt in prompts:
        body = json.dumps({"dataframe_records": [{"prompt": prompt}]})
        started = time.monotonic()
        connection.request("POST", "/invocations", body, {"Content-Type": "application/json"})
        response = connection.getresponse()
        answer = response.read()
        seconds.append(time.monotonic() - started)
        if response.status != http.client.OK:
            raise SystemExit(answer.decode())
    return seconds


def measured(port: int, num_clients: int, prompts: Sequence[str]) -> dict[str, float]:
    """Latency in seconds and requests per second of some clients that share the prompts."""
    shares = [prompts[start::num_clients] for start in range(num_clients)]
    started = time.monotonic()
    with ThreadPoolExecutor(num_clients) as threads:
        seconds = [one for share in threads.map(lambda s: client(port, s), shares) for one in share]
    wall = time.monotonic() - started
    p50, p95 = np.percentile(seconds, [50, 95])
    return {
        "clients": num_clients,
        "requests": len(seconds),
        "latency_p50_s": round(float(p50), 4),
        "latency_p95_s": round(float(p95), 4),
        "requests_per_s": round(len(seconds) / wall, 2),
    }


def main() -> None:
    """Measure and write the results."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", type=Path, default=ROOT / "models" / "pocket-flan")
    parser.add_argument("--requests", type=int, default=128, help="for each number of clients")
    parser.add_argument("--max-new-tokens", type=int, default=48)
    parser.add_argument("--out", type=Path, default=RESULTS)
    wanted = parser.parse_args()
    load = round(os.getloadavg()[0], 2)
    with CHATS.open(encoding="utf-8") as lines:
        rows = [json.loads(next(lines)) for _ in range(wanted.requests)]
    prompts = [PROMPT.format(dialogue=row["dialogue"]) for row in rows]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        os.environ["MLFLOW_TRACKING_URI"] = f"sqlite:///{folder / 'mlflow.db'}"
        version = packed(wanted.model, wanted.max_new_tokens, folder)
        with served(version, folder) as port:
            client(port, prompts[:3])  # the first requests pay for what is made once
            runs = [measured(port, number, prompts) for number in CLIENTS]
    result: dict[str, Any] = {
        "model": wanted.model.name,
        "max_new_tokens": wanted.max_new_tokens,
        "cores": len(os.sched_getaffinity(0)),
        "load_average_before": load,
        "runs": runs,
    }
    wanted.out.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
