"""The files of `infra/`, read by the tools' own parsers and schemas."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml
from compose_spec import ComposeSpecification
from prefect.utilities.templating import apply_values, find_placeholders

from flows.pools import TEMPLATES

INFRA = Path(__file__).parents[2] / "infra"
KUBERNETES = "1.34"
HADOLINT = Path(sys.executable).with_name("hadolint")
DEFAULTS = {"name": "run", "command": ["prefect", "flow-run", "execute"], "env": [], "labels": {}}


def kubernetes_files() -> list[Path]:
    return sorted(set((INFRA / "kubernetes").glob("*.yaml")) - {kustomization()})


def kustomization() -> Path:
    return INFRA / "kubernetes" / "kustomization.yaml"


def compose(name: str) -> Any:
    return yaml.safe_load((INFRA / "compose" / name).read_text(encoding="utf-8"))


def template(kind: str) -> Any:
    return json.loads((TEMPLATES / f"{kind}.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("file", kubernetes_files(), ids=lambda file: file.name)
def test_kubernetes_takes_every_object(file: Path) -> None:
    for found in yaml.safe_load_all(file.read_text(encoding="utf-8")):
        kubernetes_validate.validate(found, KUBERNETES, strict=True)


def test_every_file_is_part_of_the_kustomization() -> None:
    listed = yaml.safe_load(kustomization().read_text(encoding="utf-8"))["resources"]
    assert sorted(listed) == [file.name for file in kubernetes_files()]
    if shutil.which("kubectl"):
        command = ["kubectl", "kustomize", str(kustomization().parent)]
        built = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        namespaces = {found["metadata"]["namespace"] for found in yaml.safe_load_all(built)}
        assert namespaces == {"retune"}


def test_no_pod_runs_as_root_or_gains_privileges() -> None:
    for file in kubernetes_files():
        for found in yaml.safe_load_all(file.read_text(encoding="utf-8")):
            if found["kind"] == "Deployment":
                check_pod(found["spec"]["template"]["spec"])


def check_pod(pod: Any) -> None:
    assert pod["securityContext"]["runAsNonRoot"] is True
    for container in pod["containers"]:
        assert container["securityContext"]["allowPrivilegeEscalation"] is False
        assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}


@pytest.mark.parametrize("kind", ["docker", "kubernetes"])
def test_every_variable_of_a_job_template_is_declared(kind: str) -> None:
    content = template(kind)
    used = {found.name for found in find_placeholders(content["job_configuration"])}
    assert used <= set(content["variables"]["properties"])


def test_a_run_on_kubernetes_is_a_job_with_a_gpu() -> None:
    content = template("kubernetes")
    declared = content["variables"]["properties"]
    values = {name: field["default"] for name, field in declared.items() if "default" in field}
    job = apply_values(content["job_configuration"], values | DEFAULTS)["job_manifest"]
    kubernetes_validate.validate(job, KUBERNETES, strict=True)
    pod = job["spec"]["template"]["spec"]
    check_pod(pod)
    assert pod["containers"][0]["resources"]["limits"]["nvidia.com/gpu"] == 1


def test_a_run_in_docker_asks_for_a_gpu() -> None:
    content = template("docker")
    [request] = content["variables"]["properties"]["device_requests"]["default"]
    assert request == {"count": 1, "capabilities": [["gpu"]]}
    kwargs = content["job_configuration"]["container_create_kwargs"]
    assert kwargs["device_requests"] == "{{ device_requests }}"


@pytest.mark.parametrize("name", ["compose.yaml", "gpu.yaml"])
def test_compose_takes_the_file(name: str) -> None:
    ComposeSpecification.model_validate(compose(name))


def test_compose_opens_nothing_beyond_this_machine_and_keeps_secrets_in_files() -> None:
    content = compose("compose.yaml")
    secrets = {name: Path(secret["file"]).name for name, secret in content["secrets"].items()}
    for name, service in content["services"].items():
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", [])), name
        for variable, value in service.get("environment", {}).items():
            if "PASSWORD" in variable or "SECRET" in variable or "DATABASE" in variable:
                assert value.startswith("/run/secrets/"), variable
        assert set(service.get("secrets", [])) <= set(secrets), name
        runs_forever = service.get("restart") != "no"
        assert not runs_forever or "healthcheck" in service, name


def test_secrets_are_made_once_and_read_from_files(tmp_path: Path) -> None:
    shutil.copy(INFRA / "compose" / "make-secrets", tmp_path)
    for _ in range(2):
        subprocess.run([tmp_path / "make-secrets"], check=True)
        made = {file.name: file.read_text() for file in (tmp_path / "secrets").iterdir()}
    assert sorted(made) == sorted(compose("compose.yaml")["secrets"])
    assert len(made["postgres_password"]) == 48
    assert f":{made['postgres_password']}@postgres/mlflow" in made["mlflow_database"]
    subprocess.run([tmp_path / "make-secrets"], check=True)
    assert (tmp_path / "secrets" / "postgres_password").read_text() == made["postgres_password"]


@pytest.mark.skipif(not HADOLINT.exists(), reason="no hadolint")
def test_hadolint_has_nothing_to_say_of_the_dockerfile() -> None:
    file = INFRA / "docker" / "Dockerfile"
    done = subprocess.run([HADOLINT, file], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    users = [line for line in file.read_text().splitlines() if line.startswith("USER")]
    assert users == ["USER 1000:1000", "USER 0:0", "USER 1000:1000"]  # root installs a compiler


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="no systemd")
def test_systemd_takes_the_units(tmp_path: Path) -> None:
    for unit in (INFRA / "systemd").glob("*.service"):
        text = unit.read_text(encoding="utf-8").replace("/opt/retune/.venv/bin/", "/bin/true ")
        (tmp_path / unit.name).write_text(text, encoding="utf-8")
    units = sorted(map(str, tmp_path.iterdir()))
    assert len(units) == 3
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", *units],
        env=os.environ | {"SYSTEMD_LOG_LEVEL": "warning"},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")


def test_all_that_the_worker_writes_lies_where_it_may_write() -> None:
    unit = (INFRA / "systemd" / "retune-worker.service").read_text(encoding="utf-8")
    assert "ProtectSystem=strict" in unit
    for name in ("RETUNE_HOME", "PREFECT_HOME", "HF_HOME"):
        assert re.search(rf"^Environment=.*\b{name}=/var/lib/retune\b", unit, re.MULTILINE), name


def test_a_backup_leaves_out_the_logs_of_the_servers_alone(tmp_path: Path) -> None:
    for name in ("logs/mlflow.log", "workspaces/logs/run.json", "mlartifacts/logs/MLmodel"):
        (tmp_path / "state" / name).parent.mkdir(parents=True)
        (tmp_path / "state" / name).touch()
    text = (INFRA.parent / "docs" / "operations.md").read_text(encoding="utf-8")
    [backup] = re.findall("^tar --create .*", text, re.MULTILINE)
    [restore] = re.findall("^mkdir .* && tar --extract .*", text, re.MULTILINE)
    for command, home in ((backup, "state"), (restore, "restored")):
        environment = {**os.environ, "RETUNE_HOME": str(tmp_path / home)}
        subprocess.run(command, shell=True, check=True, cwd=tmp_path, env=environment)
    assert not (tmp_path / "restored" / "logs").exists()
    assert (tmp_path / "restored" / "workspaces" / "logs" / "run.json").exists()
    assert (tmp_path / "restored" / "mlartifacts" / "logs" / "MLmodel").exists()
