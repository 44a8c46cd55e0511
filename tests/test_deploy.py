"""The files of deploy/: the Procfile runs as it stands, and what the others name exists and is as their rules say."""

import configparser
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
import requests
import yaml
from click.testing import CliRunner

from bot.__main__ import main
from bot.app import create_app
from bot.playground.twilio import TwilioStandIn
from bot.settings import Settings
from bot.vault import new_key
from bot.web.proxies import visitor
from tests.botkit import Kit, eventually
from tests.dns_server import DnsServer
from tests.test_alarms import RUNBOOK
from tests.test_serve import free_port

ROOT = Path(__file__).parent.parent
DEPLOY = ROOT / "deploy"
PROCFILE = (ROOT / "Procfile").read_text(encoding="utf-8")
DOCKERFILE = (DEPLOY / "Dockerfile").read_text(encoding="utf-8")
COMPOSE = yaml.safe_load((DEPLOY / "compose.yml").read_text(encoding="utf-8"))
ALERTS = yaml.safe_load((DEPLOY / "alerts.yml").read_text(encoding="utf-8"))
UNITS = sorted((DEPLOY / "systemd").glob("*.service"))
START_SECONDS, STOP_SECONDS = 60.0, 45.0
HOUSE = "/opt/ally"
PROGRAMS = (
    "wsgi", "__main__", "doctor", "setup_twilio", "init", "backup", "alarms", "worker", "door_command",
)  # fmt: skip


def is_command(*words):
    """Whether `python -m bot` has this command."""
    return CliRunner().invoke(main, [words[0], "--help"]).exit_code == 0


# --- the Procfile -----------------------------------------------------------------------------------------------------


def environment(database_url, home, port, twilio, dns):
    inherited = {name: value for name, value in os.environ.items() if name.lower() not in Settings.model_fields}
    return {
        **inherited,
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "DATABASE_URL": database_url,
        "DATA_DIR": str(home),
        "PORT": str(port),
        "PUBLIC_URL": f"http://127.0.0.1:{port}",
        "TWILIO_ACCOUNT_SID": twilio.account_sid,
        "TWILIO_AUTH_TOKEN": twilio.auth_token,
        "TWILIO_WHATSAPP_FROM": twilio.sender,
        "TWILIO_API_URL": twilio.url,
        "SECRET_KEYS": new_key(),
        "SUPPORT_CONTACT": "+1 555 0100",
        "PRIVACY_URL": "https://example.com/privacy",
        "DNS_SERVER": "{}:{}".format(*dns.address),
    }


def ran(*command, env):
    """What a command of ours said, which must have gone well."""
    done = subprocess.run(
        [sys.executable, "-m", *command], cwd=ROOT, env=env, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def up(port):
    try:
        return requests.get(f"http://127.0.0.1:{port}/readyz", timeout=5).status_code == 200
    except requests.RequestException:
        return False


@pytest.mark.processes
def test_the_procfile_runs_as_it_stands_on_a_server_elsewhere_and_the_doctor_is_content(
    test_database, tmp_path, postgres
):
    """release, then web and worker; a message is answered; all of it ends when it is told to."""
    pytest.importorskip("honcho")
    url, port = test_database.fresh(), free_port()
    tmp_path.chmod(0o700)
    with TwilioStandIn(webhook_url=f"http://127.0.0.1:{port}/whatsapp") as twilio, DnsServer({}) as dns:
        env = environment(url, tmp_path, port, twilio, dns)
        ran("honcho", "-e", "/dev/null", "run", *release(), env=env)
        with (tmp_path / "log").open("wb") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "honcho", "-e", "/dev/null", "start", "web", "worker"],
                cwd=ROOT, env=env, stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip
        family = []
        try:
            eventually(lambda: process.poll() is not None or up(port), "web answers", within=START_SECONDS)
            assert process.poll() is None, (tmp_path / "log").read_text()
            family = psutil.Process(process.pid).children(recursive=True)
            ran("bot", "setup-twilio", env=env)
            told = ran("bot", "doctor", env=env)
            assert "failed" not in told
            twilio.say("+351912345678", "Hello")
            eventually(lambda: any(not one.mine for one in twilio.phone("+351912345678")), "an answer", within=30)
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(STOP_SECONDS)
            finally:
                for one in family:
                    if one.is_running():
                        one.kill()
    test_database.drop(url)
    assert "Traceback" not in (tmp_path / "log").read_text()


def release():
    return shlex.split(re.search(r"^release: (.*)$", PROCFILE, re.MULTILINE)[1])


def test_the_procfile_names_commands_that_are_there():
    lines = dict(line.split(": ", 1) for line in PROCFILE.splitlines())
    assert set(lines) == {"release", "web", "worker", "door"}
    for line in lines.values():
        python, module, bot, command = shlex.split(line)
        assert (python, module, bot) == ("python", "-m", "bot")
        assert is_command(command)


# --- the container ----------------------------------------------------------------------------------------------------


def instructions():
    """The Dockerfile's instructions as pairs."""
    whole = re.sub(r"\\\n", " ", re.sub(r"^#.*\n", "", DOCKERFILE, flags=re.MULTILINE))
    return [tuple(line.split(maxsplit=1)) for line in whole.splitlines() if line.strip()]


def last_stage():
    made = instructions()
    return made[max(number for number, (word, _) in enumerate(made) if word == "FROM") :]


def test_the_image_is_small_and_runs_as_nobody_special():
    bases = [rest for word, rest in instructions() if word == "FROM"]
    assert all(re.match(r"python:3\.\d+-slim( AS \w+)?$", base) for base in bases)
    user = [rest for word, rest in last_stage() if word == "USER"]
    assert user == ["10001:10001"]
    words = [word for word, _ in last_stage()]
    assert words.index("RUN") < words.index("USER") < words.index("ENTRYPOINT")
    assert "--require-hashes" in DOCKERFILE
    assert "ADD" not in {word for word, _ in instructions()}


def test_no_secret_and_no_setting_of_an_account_stands_in_the_image():
    env = dict(pair.split("=", 1) for _, rest in last_stage() if _ == "ENV" for pair in shlex.split(rest))
    ours = {name for name in env if name.lower() in Settings.model_fields}
    assert ours == {"DATA_DIR", "BIND", "PORT", "LOG_FORMAT"}
    ignored = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    assert "*" in ignored
    kept = [line[1:] for line in ignored if line.startswith("!")]
    copied = [rest.split()[0] for word, rest in instructions() if word == "COPY" and "--from" not in rest]
    assert sorted(kept) == sorted(copied)


def test_what_is_copied_is_enough_to_start(tmp_path):
    """The image's files alone, without the playground: every command still loads."""
    for word, rest in instructions():
        if word != "COPY" or "--from" in rest:
            continue
        source, target = rest.split()
        assert (ROOT / source).exists(), source
        place = tmp_path / target
        place.parent.mkdir(parents=True, exist_ok=True)
        leave = shutil.ignore_patterns("__pycache__", "playground")
        shutil.copytree(ROOT / source, place, ignore=leave) if (ROOT / source).is_dir() else shutil.copy(
            ROOT / source, place
        )
    code = "import " + ", ".join(f"bot.{name}" for name in PROGRAMS)
    env = {"PATH": os.environ["PATH"], "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=env, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    # And the guide is learnt by whoever may write there.
    (learning,) = [rest for word, rest in last_stage() if word == "RUN" and "bot ask" in rest]
    words = [sys.executable, *shlex.split(learning)[1:]]
    subprocess.run(words, cwd=tmp_path, env=env, capture_output=True, timeout=120, check=True)
    assert list((tmp_path / "bot" / "__pycache__").glob("guide-*.npz"))


def test_the_image_starts_our_own_process_and_its_health_is_asked_for():
    found = dict(last_stage())
    assert found["ENTRYPOINT"] == '["python", "-m", "bot"]'  # a list: signals reach us, not a shell
    (command,) = yaml.safe_load(found["CMD"])
    assert is_command(command)
    check = found["HEALTHCHECK"]
    assert "/healthz" in check
    code = yaml.safe_load(check[check.index("CMD") + 4 :])[2]
    compile(code, "healthcheck", "exec")


# --- compose ----------------------------------------------------------------------------------------------------------


def test_compose_has_all_parts_and_ours_write_nothing_but_their_data():
    services = COMPOSE["services"]
    assert set(services) == {"db", "migrate", "web", "worker", "door", "caddy"}
    for name in ("migrate", "web", "worker", "door"):
        one = services[name]
        (command,) = one["command"]
        assert is_command(command)
        assert one["read_only"] is True
        assert one["cap_drop"] == ["ALL"]
        assert one["security_opt"] == ["no-new-privileges:true"]
        assert one["tmpfs"] == "/tmp"
        assert [where for where in one["volumes"] if not where.endswith(":ro")] == ["data:/data"]
        assert (DEPLOY / one["build"]["context"] / one["build"]["dockerfile"]).is_file()
        assert one["env_file"] == "ally.env"
    for name in ("web", "worker", "door"):
        assert services[name]["depends_on"] == {"migrate": {"condition": "service_completed_successfully"}}


def test_only_the_front_and_the_door_are_reached_from_outside_and_the_front_leads_to_web():
    outside = {name: one["ports"] for name, one in COMPOSE["services"].items() if "ports" in one}
    assert outside == {"caddy": ["80:80", "443:443"], "door": ["465:465"]}
    (mounted,) = [one for one in COMPOSE["services"]["caddy"]["volumes"] if one.startswith("./")]
    caddyfile = (DEPLOY / mounted.split(":")[0]).read_text(encoding="utf-8")
    assert "reverse_proxy web:8000" in caddyfile
    assert "\tlog" not in caddyfile  # an access log would hold the addresses of one-time links


def test_web_asks_its_front_where_a_request_came_from():
    """Docker gives the network of a compose file any of its private ranges."""
    settings = Settings(trusted_proxies=COMPOSE["services"]["web"]["environment"]["TRUSTED_PROXIES"])
    for front in ("172.18.0.4", "192.168.16.4", "10.5.0.4", "fd00::4"):
        assert visitor(front, "203.0.113.7", settings.proxies) == "203.0.113.7"


def test_the_door_opens_only_where_it_is_asked_for_and_is_not_root():
    one = COMPOSE["services"]["door"]
    assert one["profiles"] == ["door"]
    assert one["sysctls"] == {"net.ipv4.ip_unprivileged_port_start": 465}
    assert "cap_add" not in one
    assert "user" not in one


def test_no_password_stands_in_compose():
    text = (DEPLOY / "compose.yml").read_text(encoding="utf-8")
    for name in ("POSTGRES_PASSWORD", "PUBLIC_HOST"):
        assert f"${{{name}:?" in text
    named = {volume.split(":")[0] for one in COMPOSE["services"].values() for volume in one.get("volumes", [])}
    assert {name for name in named if not name.startswith(".")} == set(COMPOSE["volumes"])


# --- systemd ----------------------------------------------------------------------------------------------------------

HARDENED = {
    "NoNewPrivileges": "yes", "ProtectSystem": "strict", "ProtectHome": "yes", "PrivateTmp": "yes",
    "PrivateDevices": "yes", "RestrictNamespaces": "yes", "CapabilityBoundingSet": "", "UMask": "0077",
    "SystemCallFilter": "@system-service", "RestrictAddressFamilies": "AF_UNIX AF_INET AF_INET6",
    "InaccessiblePaths": f"-{HOUSE}/.git",
}  # fmt: skip

MORE = {"ally-door.service": {"CapabilityBoundingSet": "CAP_NET_BIND_SERVICE"}}  # it listens at port 465


def unit(path):
    read = configparser.ConfigParser(strict=False, interpolation=None)
    read.optionxform = str
    read.read_string(path.read_text(encoding="utf-8"))
    return read


@pytest.mark.parametrize("path", UNITS, ids=lambda path: path.name)
def test_each_unit_is_hardened_and_starts_a_command_that_is_there(path):
    service = unit(path)["Service"]
    assert {name: service[name] for name in HARDENED} == {**HARDENED, **MORE.get(path.name, {})}
    assert (service["User"], service["WorkingDirectory"]) == ("ally", HOUSE)
    for line in re.findall(r"^ExecStart(?:Pre)?=(.*)$", path.read_text(encoding="utf-8"), re.MULTILINE):
        python, module, bot, command = shlex.split(line)
        assert (python, module, bot) == (f"{HOUSE}/.venv/bin/python", "-m", "bot")
        assert is_command(command)
    document = unit(path)["Unit"]["Documentation"].removeprefix(f"file:{HOUSE}/")
    assert (ROOT / document).is_file()


def test_systemd_understands_the_units(tmp_path):
    if shutil.which("systemd-analyze") is None:
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)("systemd-analyze is missing: make world")
    places = []
    for path in (*UNITS, DEPLOY / "systemd" / "ally-backup.timer"):
        text = path.read_text(encoding="utf-8").replace(f"{HOUSE}/.venv/bin/python", sys.executable)
        (tmp_path / path.name).write_text(text.replace(HOUSE, str(ROOT)))
        places.append(str(tmp_path / path.name))
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", *places], capture_output=True, text=True, timeout=60, check=False
    )
    ours = [line for line in done.stderr.splitlines() if "ally-" in line]
    assert ours == []


def test_the_door_has_the_one_right_that_it_needs_and_no_other_unit_has_any():
    rights = {path.name: unit(path)["Service"].get("AmbientCapabilities", "") for path in UNITS}
    assert {name: given for name, given in rights.items() if given} == {"ally-door.service": "CAP_NET_BIND_SERVICE"}


def test_a_backup_is_made_every_night():
    assert unit(DEPLOY / "systemd" / "ally-backup.timer")["Timer"]["OnCalendar"] == "*-*-* 03:30:00"


# --- gunicorn, Prometheus ---------------------------------------------------------------------------------------------


def test_every_setting_of_gunicorn_is_one_and_has_its_reason():
    from gunicorn.config import KNOWN_SETTINGS

    lines = (DEPLOY / "gunicorn.py").read_text(encoding="utf-8").splitlines()
    known = {one.name for one in KNOWN_SETTINGS}
    set_here = {line.split(" = ")[0]: number for number, line in enumerate(lines) if re.match(r"\w+ = ", line)}
    assert set(set_here) <= known
    bare = {"limit_request_fields", "limit_request_field_size", "errorlog", "proc_name"}
    for name, number in set_here.items():
        assert name in bare or lines[number - 1].startswith("#"), name


@pytest.mark.parametrize("word", ["SCRIPT_NAME", "PATH_INFO", "REMOTE_ADDR", "X_FORWARDED_FOR"])
def test_no_header_of_a_visitor_s_changes_which_page_is_meant_even_through_a_proxy_on_this_machine(word):
    """A proxy that closes /metrics sees /x/metrics; with SCRIPT_NAME: /x it would be /metrics here."""
    from gunicorn.config import Config
    from gunicorn.http import get_parser

    config = Config()
    exec(compile((DEPLOY / "gunicorn.py").read_text(encoding="utf-8"), "gunicorn.py", "exec"), settings := {})
    for name in config.settings.keys() & settings.keys():
        config.set(name, settings[name])
    asked = f"GET /x/metrics HTTP/1.1\r\nHost: bot.example.com\r\n{word}: /x\r\n\r\n".encode()
    request = next(get_parser(config, [asked], ("127.0.0.1", 40000)))
    assert [name for name, _ in request.headers] == ["HOST"]


def rules():
    return [rule for group in ALERTS["groups"] for rule in group["rules"]]


@pytest.fixture(scope="module")
def metrics(test_database, tmp_path_factory):
    """The names of all that /metrics tells."""
    url = test_database.fresh()
    with Kit(url, tmp_path_factory.mktemp("home"), METRICS_TOKEN="t") as kit:
        page = create_app(kit.parts).test_client().get("/metrics", headers={"Authorization": "Bearer t"})
    test_database.drop(url)
    return set(re.findall(r"^# TYPE (\w+)", page.text, re.MULTILINE))


def test_the_rules_name_metrics_that_there_are(metrics):
    for rule in rules():
        named = set(re.findall(r"\bally_\w+", rule["expr"]))
        assert named <= metrics, rule["alert"]
        assert {"summary", "runbook"} == set(rule["annotations"])
    assert len({rule["alert"] for rule in rules()}) == len(rules())


def test_the_runbook_explains_every_metric_and_every_rule_leads_into_it(metrics):
    for name in metrics:
        assert f"`{name}" in RUNBOOK, name
    headings = {
        re.sub(r"[^a-z0-9 -]", "", line.lstrip("#").strip().lower()).replace(" ", "-")
        for line in RUNBOOK.splitlines()
        if line.startswith("#")
    }
    for rule in rules():
        path, anchor = rule["annotations"]["runbook"].split("#")
        assert (ROOT / path).is_file()
        assert anchor in headings, anchor
