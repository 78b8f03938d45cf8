#!/usr/bin/env python3
"""Prometheus' own word on what deploy/ has for it. The alert rules are good, and fire when their tests say so. A Prometheus that
is set up as docs/deploying.md says scrapes a jobshim: it likes all metrics, evaluates all rules, and each panel of the dashboard
shows something.

prometheus and promtool come from Debian's package, unpacked into target/tools, unless they are there already. Needs a built
jobshim (JOBSHIM_TEST_PROGRAM, otherwise target/debug/jobshim)."""

import json
import re
import shutil
import signal
import subprocess
import tempfile
import urllib.parse
from pathlib import Path

from support import PROGRAM, REPOSITORY, ask, check, debian, done, run

# support says where it is.
from checks import free_port, until

ALERTS = REPOSITORY / "deploy/prometheus/alerts.yaml"
# What does not happen to the jobshim below: no answer differs, and nobody opens a WebSocket.
EMPTY = {"jobshim_shadow_differences_total", "jobshim_tunnel_bytes_total"}


class Running:
    """A program that ends with the block."""

    def __init__(self, folder, name, command, ready, **variables):
        self.log = folder / f"{name}.log"
        with open(self.log, "w") as log:
            self.process = subprocess.Popen([str(word) for word in command], stdout=log, stderr=log, env=variables)
        try:
            until(f"{name} is ready", lambda: self.process.poll() is None and ask(ready)[0] == 200)
        except SystemExit:
            print(self.log.read_text())
            self.stop()
            raise

    def stop(self):
        self.process.terminate()
        self.process.wait(timeout=30)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.stop()


def rules_are_good(promtool):
    for command in (["check", "rules", ALERTS], ["test", "rules", ALERTS.with_name("alerts_test.yaml")]):
        output = run(promtool, *command)
        check(output.returncode == 0, f"promtool {command[0]} rules:\n{output.stdout}{output.stderr}")
    done("promtool finds the alert rules good, and they fire as their tests say")


def configuration(folder, port):
    """As docs/deploying.md has it, for another port and in a hurry."""
    page = (REPOSITORY / "docs/deploying.md").read_text()
    text = next(block for block in re.findall(r"```text\n(.*?)```", page, re.S) if "scrape_configs" in block)
    check("127.0.0.1:8186" in text, text)
    text = "global: { scrape_interval: 500ms, evaluation_interval: 500ms }\n" + text.replace("8186", str(port))
    (folder / "prometheus.yml").write_text(text)
    shutil.copy(ALERTS, folder)
    return folder / "prometheus.yml"


def panels():
    dashboard = json.loads((REPOSITORY / "deploy/grafana/jobshim.json").read_text())
    for panel in dashboard["panels"]:
        for target in panel.get("targets", []):
            yield panel["title"], target["expr"]
    for annotation in dashboard["annotations"]["list"]:
        yield annotation["name"], annotation["expr"]


def is_used(folder, prometheus, promtool):
    ports = {name: free_port() for name in ("server", "http", "admin", "prometheus")}
    at = {name: f"http://127.0.0.1:{port}" for name, port in ports.items()}
    # It has the Jobs API, and legacy endpoints that say the same.
    server = [PROGRAM, "demo", "--listen", f"127.0.0.1:{ports['server']}", "--admin", "off"]
    variables = {
        "JOBSHIM_LISTEN": f"127.0.0.1:{ports['http']}",
        "JOBSHIM_ADMIN": f"127.0.0.1:{ports['admin']}",
        "JOBSHIM_UPSTREAM": at["server"],
        "JOBSHIM_ROUTES": "history=shadow;history_v2=canary:50,compare",
        "JOBSHIM_CONNECT_TIMEOUT": "1s",
    }
    flags = ["--storage.tsdb.path", folder / "data", f"--web.listen-address=127.0.0.1:{ports['prometheus']}"]
    command = [prometheus, "--config.file", configuration(folder, ports["admin"]), *flags]

    def query(expression):
        status, text = ask(f"{at['prometheus']}/api/v1/query?" + urllib.parse.urlencode({"query": expression}))
        check(status == 200, f"{expression}: {text}")
        return json.loads(text)["data"]["result"]

    def use():
        for target in ("/history", "/history", "/api/history_v2", "/queue", "/system_stats", "/history/none"):
            ask(at["http"] + target)
        ask(at["http"] + "/upload", b"1234")

    with Running(folder, "server", server, at["server"] + "/queue") as server, \
            Running(folder, "jobshim", [PROGRAM], at["admin"] + "/readyz", **variables) as jobshim, \
            Running(folder, "prometheus", command, at["prometheus"] + "/-/ready"):
        linted = run(promtool, "check", "metrics", input=ask(at["admin"] + "/metrics")[1])
        check(linted.returncode == 0, f"promtool check metrics: {linted.stdout}{linted.stderr}")
        done("promtool finds the metrics good")
        use()
        until("it is scraped", lambda: query('jobshim_requests_total{job="jobshim"}'))
        until("a comparison is counted", lambda: query("jobshim_shadow_comparisons_total"))
        # Something must happen between two readings.
        counted = lambda: sum(float(series["value"][1]) for series in query("increase(jobshim_requests_total[1m])"))
        until("the readings move", lambda: use() or counted() > 20)
        jobshim.process.send_signal(signal.SIGHUP)
        until("a reload is counted", lambda: query("changes(jobshim_config_last_reload_success_timestamp_seconds[1m]) > 0"))
        server.stop()
        until("failures are counted", lambda: use() or query('increase(jobshim_upstream_failures_total{reason="connect"}[1m]) > 0'))
        until("5xx are counted", lambda: use() or query('increase(jobshim_requests_total{status="5xx"}[1m]) > 0'))

        expressions = list(panels())
        check(len(expressions) > 40, f"{len(expressions)} expressions")
        nothing = {}
        for title, expression in expressions:
            plain = expression.replace("$__rate_interval", "1m").replace("$job", "jobshim").replace("$instance", ".*")
            check("$" not in plain, f"{title}: {expression}")
            if not query(plain):
                nothing[title] = expression
        missing = {title: expression for title, expression in nothing.items() if not any(metric in expression for metric in EMPTY)}
        check(not missing, f"panels that show nothing: {missing}")
        check(len(nothing) == len(EMPTY), f"what is not exempt any more: {nothing}")
        done(f"Prometheus answers all {len(expressions)} questions of the dashboard")

        groups = json.loads(ask(at["prometheus"] + "/api/v1/rules")[1])["data"]["groups"]
        rules = [rule for group in groups for rule in group["rules"]]
        bad = [rule for rule in rules if rule["health"] != "ok"]
        check(rules and not bad, f"rules that cannot be evaluated: {bad}")
        states = lambda: {rule["name"]: rule["state"] for group in json.loads(ask(at["prometheus"] + "/api/v1/rules")[1])["data"]["groups"] for rule in group["rules"]}
        until("the server's absence is noticed", lambda: states()["JobshimUpstreamDown"] == "pending")
        quiet = {"JobshimDown", "JobshimAbsent", "JobshimConfigReloadFailed", "JobshimPanics", "JobshimRestarts", "JobshimStateStale", "JobshimFileDescriptors", "JobshimOutOfRoom"}
        loud = {name for name in quiet if states()[name] != "inactive"}
        check(not loud, f"alerts without a cause: {loud}")
        done(f"all {len(rules)} rules are evaluated, and tell of the server that is gone")


PROMETHEUS, PROMTOOL = (debian("prometheus", f"usr/bin/{name}") for name in ("prometheus", "promtool"))
rules_are_good(PROMTOOL)
with tempfile.TemporaryDirectory() as scratch:
    is_used(Path(scratch), PROMETHEUS, PROMTOOL)
