#!/usr/bin/env python3
"""Writes the dashboards of deploy/grafana/dashboards; with --check it writes nothing and fails if they are other ones.

A panel is a question a person asks, with what its answer means, a unit, and its queries. Metrics are told of in docs/metrics.md:
numbers of the database are the same from every worker, so they are taken by max. Counters that begin with their first event are
zero before it.
"""

import json
import sys
from pathlib import Path
from urllib.parse import quote

FOLDER = Path(__file__).parent / "dashboards"
PROMETHEUS = {"type": "prometheus", "uid": "prometheus"}
GOOD, BAD, WARN = "green", "red", "orange"
RATE = "[$__rate_interval]"
MERCHANTS = 'route=~"/(customers|gateways).*"'
NAMED = " * on (merchant_id) group_left (name) max by (merchant_id, name) (khata_merchant_info)"
RUNBOOK = "What to do: docs/operations.md."


def explore(source, query):
    """Grafana's own page for one query."""
    pane = {
        "a": {
            "datasource": source,
            "queries": [{"refId": "A", "datasource": {"type": source, "uid": source}, **query}],
            "range": {"from": "now-1h", "to": "now"},
        }
    }
    return f"/explore?schemaVersion=1&panes={quote(json.dumps(pane, separators=(',', ':')))}"


def traces(query):
    return explore("tempo", {"queryType": "traceql", "query": query})


def logs(query):
    return explore("loki", {"expr": query})


def link(title, url):
    return {"title": title, "url": url, "targetBlank": True}


def panel(kind, title, description, unit, *queries, width=12, height=8, links=(), **more):
    """`queries`: pairs of an expression and its legend."""
    thresholds = more.pop("thresholds", [(GOOD, None)])
    defaults = {
        "unit": unit,
        "thresholds": {"mode": "absolute", "steps": [{"color": color, "value": value} for color, value in thresholds]},
    }
    if "min" in more:
        defaults["min"] = more.pop("min")
    options = {
        "stat": {
            "reduceOptions": {"calcs": ["lastNotNull"]},
            "colorMode": "background",
            "graphMode": "area",
            "textMode": "value",
        },
        "timeseries": {
            "legend": {"displayMode": "list", "placement": "bottom"},
            "tooltip": {"mode": "multi", "sort": "desc"},
        },
        "table": {"showHeader": True},
    }[kind]
    targets = []
    for place, (expression, legend) in enumerate(queries):
        target = {
            "refId": chr(ord("A") + place),
            "datasource": PROMETHEUS,
            "expr": expression,
            "legendFormat": legend,
        }
        if kind == "table":
            target |= {"instant": True, "format": "table"}
        if "_bucket" in expression:
            target["exemplar"] = True
        targets.append(target)
    made = {
        "type": kind,
        "title": title,
        "description": description,
        "datasource": PROMETHEUS,
        "gridPos": {"w": width, "h": height},
        "fieldConfig": {"defaults": defaults, "overrides": []},
        "options": options,
        "targets": targets,
    }
    if links:
        made["links"] = list(links)
    if kind == "table":
        hidden = {"Time": True} | {f"Value #{letter}": False for letter in "AB"}
        made["transformations"] = [{"id": "merge", "options": {}}, {"id": "organize", "options": {"excludeByName": hidden} | more.pop("organize", {})}]
    return made


def stat(title, description, unit, expression, bad=None, good=None, **more):
    """Red from `bad` on, or below `good`."""
    steps = [(GOOD, None), (BAD, bad)] if bad is not None else [(BAD, None), (GOOD, good)] if good is not None else [(GOOD, None)]
    return panel("stat", title, description, unit, (expression, ""), width=more.pop("width", 6), height=4, thresholds=steps, **more)


def lines(title, description, unit, *queries, **more):
    return panel("timeseries", title, description, unit, *queries, min=0, **more)


def quantiles(metric, by="", where="", of=(0.5, 0.95, 0.99)):
    labels = ", ".join(filter(None, [by, "le"]))
    legend = f"{{{{{by}}}}} " if by else ""
    return [
        (f"histogram_quantile({q}, sum by ({labels}) (rate({metric}_bucket{{{where}}}{RATE})))".replace("{}", ""), f"{legend}p{q * 100:g}")
        for q in of
    ]


def variable(name, label, query, many=True):
    made = {
        "name": name,
        "label": label,
        "type": "query",
        "datasource": PROMETHEUS,
        "query": {"query": query, "refId": "A"},
        "definition": query,
        "refresh": 2,
        "sort": 1,
        "multi": many,
        "includeAll": many,
    }
    if many:
        made |= {"allValue": ".*", "current": {"text": "All", "value": "$__all"}}
    return made


def placed(panels):
    """From left to right, and down when a row is full."""
    x = y = tallest = 0
    for number, made in enumerate(panels, 1):
        grid = made["gridPos"]
        if x + grid["w"] > 24:
            x, y, tallest = 0, y + tallest, 0
        grid |= {"x": x, "y": y}
        x, tallest = x + grid["w"], max(tallest, grid["h"])
        made["id"] = number
    return panels


def dashboard(name, title, description, panels, variables=(), links=()):
    others = {
        "title": "Khata's dashboards",
        "type": "dashboards",
        "tags": ["khata"],
        "asDropdown": True,
        "includeVars": False,
        "keepTime": True,
        "targetBlank": False,
        "icon": "external link",
        "url": "",
        "tooltip": "",
    }
    return {
        "uid": f"khata-{name}",
        "title": f"Khata: {title}",
        "description": description,
        "tags": ["khata"],
        "schemaVersion": 39,
        "version": 1,
        "editable": False,
        "timezone": "browser",
        "refresh": "30s",
        "time": {"from": "now-3h", "to": "now"},
        "graphTooltip": 1,
        "templating": {"list": list(variables)},
        "annotations": {"list": []},
        "links": [others] + [{"type": "link", "icon": "external link", **made} for made in links],
        "panels": placed(panels),
    }


def zero(expression):
    """Nothing yet is zero; beside something there is no zero."""
    return f"({expression}) or on () vector(0)"


def overview():
    failing = f'sum(rate(khata_http_requests_total{{{MERCHANTS}, status_class="5xx"}}{RATE}))'
    asked = f"sum(rate(khata_http_requests_total{{{MERCHANTS}}}{RATE}))"
    return dashboard(
        "overview",
        "overview",
        "Is it up, who is affected, is money being lost, and what is to be done?",
        [
            stat("Does the API answer?", f"Processes of khata-api that answer Prometheus. {RUNBOOK}", "none", 'sum(up{job="khata-api"})', good=1),
            stat("Do workers run?", f"Workers that answer Prometheus. {RUNBOOK}", "none", 'sum(up{job="khata-worker"})', good=1),
            stat("How many alerts fire?", "Of Khata's own. Each has a section in docs/operations.md.", "none", zero('sum(ALERTS{alertname=~"Khata.+", alertstate="firing"})'), bad=1),
            stat("Is anything stuck?", "Unfinished validations that the scheduler should have taken care of and has not.", "none", "max(khata_validations_stuck)", bad=1),
            stat("How many requests fail?", "Share of merchants' requests that are answered 5xx; the objective is 0.1 % over 30 days.", "percentunit", f"({zero(failing)}) / {asked} or vector(0)", bad=0.001),
            stat("How old is the oldest unfinished account?", "Since when the oldest unfinished validation has been asked for. At its deadline, 48 h by default, it fails.", "s", "max(khata_validation_oldest_unfinished_age_seconds)", bad=1800),
            stat("Have all merchants a gateway that can be asked?", "Merchants all of whose gateway accounts are down, paused or refuse us.", "none", zero("count(max by (merchant_id) (khata_merchant_gateways_usable) == 0)"), bad=1),
            stat("May a rupee have been dropped twice?", "Attempts in the chosen time that were begun although the rupee of a lost one may have been dropped.", "none", zero("sum(increase(khata_gateway_possible_double_drops_total[$__range]))"), bad=0.01),
            lines(
                "How much comes in, and how much is done?",
                "Validations stored, and validations that became final, a second. Apart for long: a backlog grows.",
                "ops",
                (f"sum(rate(khata_validations_accepted_total{RATE}))", "stored"),
                (f"sum(rate(khata_validations_completed_total{RATE}))", "final"),
            ),
            lines(
                "How late are we after the gateway's answer?",
                "From a gateway's answer, or its call-back, to a final account: our own time. The objective is 95 % within 60 s.",
                "s",
                *quantiles("khata_settle_delay_seconds"),
                links=[link("Slow validations, as traces", traces('{ resource.service.name = "khata-worker" && name = "settle validation" && duration > 1s }'))],
            ),
            panel(
                "table",
                "Whose accounts wait, and since when?",
                "Unfinished validations by merchant: since when the oldest has been asked for, in seconds, and how many there are. None: nobody waits.",
                "none",
                (zero(f"topk(20, max by (merchant_id) (khata_merchant_oldest_unfinished_age_seconds)){NAMED}"), ""),
                (zero(f"topk(20, max by (merchant_id) (khata_merchant_validations_unfinished)){NAMED}"), ""),
                organize={"renameByName": {"Value #A": "oldest, seconds", "Value #B": "unfinished"}},
            ),
            lines(
                "Which calls fail?",
                "Merchants' requests answered 5xx, by route.",
                "ops",
                (zero(f'sum by (route, method) (rate(khata_http_requests_total{{status_class="5xx"}}{RATE}))'), "{{method}} {{route}}"),
                links=[
                    link("Failed requests, as traces", traces('{ resource.service.name = "khata-api" && status = error }')),
                    link("What khata-api says of it", logs('{service_name="khata-api"} | severity_text=~"ERROR|WARN"')),
                ],
            ),
            lines(
                "How long do merchants wait for an answer?",
                "Requests that do not wait for an outcome. Each point of an exemplar is a trace.",
                "s",
                *quantiles("khata_http_request_duration_seconds", where=f'{MERCHANTS}, waits="false"'),
                links=[link("Slow requests, as traces", traces('{ resource.service.name = "khata-api" && duration > 500ms }'))],
            ),
            lines(
                "How do validations end?",
                "Validations that became final, by outcome. UNAVAILABLE: no gateway told before the deadline.",
                "ops",
                (f"sum by (outcome) (rate(khata_validations_completed_total{RATE}))", "{{outcome}}"),
            ),
            lines(
                "How much is being answered now?",
                "Requests in flight, by process; calls that wait for outcomes are among them.",
                "none",
                ("sum by (instance) (khata_http_requests_in_flight)", "{{instance}}"),
                ("sum(khata_outcome_waiters)", "outcomes waited for"),
            ),
            lines(
                "Are connections to Postgres used up?",
                "Connections in use, of those a process may have. All of them for long: readers wait.",
                "percentunit",
                ('max by (job, instance) (khata_database_connections{state="in_use"} / ignoring (state) khata_database_connections_max)', "{{job}} {{instance}}"),
            ),
        ],
        links=[
            link("Failed traces", traces("{ status = error }")),
            link("Errors in the logs", logs('{service_name=~"khata-.+"} | severity_text="ERROR"')),
        ],
    )


def gateways():
    of = 'merchant_id=~"$merchant", gateway=~"$gateway"'
    account = "merchant_id, gateway, gateway_account"
    legend = "{{gateway}} {{gateway_account}}"
    unanswered = f'khata_gateway_calls_total{{{of}, class="NO_ANSWER"}}'
    return dashboard(
        "gateways",
        "gateways",
        "Do the gateways serve us, and what do they cost?",
        [
            stat("Does a gateway refuse us?", "Gateway accounts that answered last that we are not set up right: credentials, balance, list of IP addresses, a feature that is off. `khata-api gateway list` says which code.", "none", f"sum(max by ({account}) (khata_gateway_misconfigured{{{of}}}))", bad=1),
            stat("Is a gateway down?", "Gateway accounts that most calls of late failed at: they are left alone, but for one call now and then.", "none", f"sum(max by ({account}) (khata_gateway_circuit_open{{{of}}}))", bad=1),
            stat("May a rupee have been dropped twice?", "Attempts in the chosen time that were begun although the rupee of a lost one may have been dropped.", "none", zero(f"sum(increase(khata_gateway_possible_double_drops_total{{{of}}}[$__range]))"), bad=0.01),
            stat("How many rupees were paid?", "Penny drops in the chosen time that came back VALID: a rupee each. Lost ones are not in it.", "none", zero(f'sum(increase(khata_gateway_penny_drops_told_total{{{of}, class="VALID"}}[$__range]))')),
            lines("What do the gateways answer?", "Calls a second by the class of the answer; NO_ANSWER: a time-out or a broken connection.", "ops", (f"sum by (gateway, class) (rate(khata_gateway_calls_total{{{of}}}{RATE}))", "{{gateway}} {{class}}"), links=[link("Calls of gateways, as traces", traces('{ resource.service.name = "khata-worker" && kind = client }'))]),
            lines("How long do gateways take?", "Calls with and without an answer. Of all merchants together.", "s", *quantiles("khata_gateway_call_duration_seconds", by="gateway", where='gateway=~"$gateway"', of=(0.5, 0.95)), links=[link("Slow calls, as traces", traces('{ resource.service.name = "khata-worker" && name = "verify at gateway" && duration > 2s }'))]),
            lines("Which gateway account leaves us without an answer?", "Share of its calls. Nothing is lost: what was sent is asked after.", "percentunit", (f"(sum by ({account}) (rate({unanswered}{RATE})) or 0 * sum by ({account}) (rate(khata_gateway_calls_total{{{of}}}{RATE}))) / sum by ({account}) (rate(khata_gateway_calls_total{{{of}}}{RATE}))", legend)),
            lines("How long does each gateway account take, on average?", "Mean of its calls, with and without an answer.", "s", (f"sum by ({account}) (rate(khata_gateway_account_call_time_seconds_total{{{of}}}{RATE})) / sum by ({account}) (rate(khata_gateway_calls_total{{{of}}}{RATE}))", legend)),
            lines("Which cannot be asked, and why not?", "1 while the gateway account is down, paused, or refuses us.", "none", (f"max by ({account}) (khata_gateway_circuit_open{{{of}}})", f"{legend} down"), (f"max by ({account}) (khata_gateway_paused{{{of}}})", f"{legend} paused"), (f"max by ({account}) (khata_gateway_misconfigured{{{of}}})", f"{legend} refuses us")),
            lines("Whose limits hold accounts up?", "Times a second that a validation was put off: rate (calls a minute used up, a later one is booked), busy (calls at once), down, paused, hours.", "ops", (zero(f"sum by ({account}, why) (rate(khata_gateway_waits_total{{{of}}}{RATE}))"), f"{legend} {{{{why}}}}")),
            lines("Do the gateways call back, and are they believed?", "Call-backs by what was done with them; refused: not signed with the secret we have.", "ops", (zero(f'sum by (gateway, result) (rate(khata_gateway_call_backs_total{{gateway=~"$gateway"}}{RATE}))'), "{{gateway}} {{result}}"), (zero(f'sum by (gateway) (rate(khata_gateway_call_backs_heard_total{{gateway=~"$gateway"}}{RATE}))'), "{{gateway}} acted on")),
            lines("Did a gateway say what nobody knows?", "Codes in an hour that stand in none of our tables: they belong into the connector's.", "none", (zero(f'sum by (gateway) (increase(khata_gateway_unlisted_codes_total{{gateway=~"$gateway"}}[1h]))'), "{{gateway}}")),
        ],
        [
            variable("gateway", "Gateway", "label_values(khata_gateway_misconfigured, gateway)"),
            variable("merchant", "Merchant's id", "label_values(khata_gateway_misconfigured, merchant_id)"),
        ],
        [link("What workers say of gateways", logs('{service_name="khata-worker"} | severity_text=~"ERROR|WARN"'))],
    )


def merchant():
    of = 'merchant_id="$merchant"'
    return dashboard(
        "merchant",
        "merchant",
        "One merchant: is it served, what do its accounts come to, and what do they wait for?",
        [
            stat("How many of its accounts wait?", "Unfinished validations.", "none", zero(f"max(khata_merchant_validations_unfinished{{{of}}})")),
            stat("Since when does the oldest?", "Since when it has been asked for.", "s", zero(f"max(khata_merchant_oldest_unfinished_age_seconds{{{of}}})"), bad=1800),
            stat("Can any of its gateways be asked?", "Enabled gateway accounts that are neither down nor paused nor refuse us.", "none", f"max(khata_merchant_gateways_usable{{{of}}})", good=1),
            stat("How many rupees were paid for it?", "Penny drops in the chosen time that came back VALID: a rupee each.", "none", zero(f'sum(increase(khata_gateway_penny_drops_told_total{{{of}, class="VALID"}}[$__range]))')),
            lines("How are its calls answered?", "Its requests a second, by the class of the status.", "ops", (f"sum by (status_class) (rate(khata_merchant_requests_total{{{of}}}{RATE}))", "{{status_class}}"), links=[link("Its requests, as traces", traces('{ resource.service.name = "khata-api" && span.khata.merchant_id = "$merchant" }'))]),
            lines("Does it run into its own limits?", "Requests refused with 429: too many a second, or too many validations of the same details in a day. `khata-api merchant set` changes both.", "ops", (zero(f"sum by (limit) (rate(khata_requests_limited_total{{{of}}}{RATE}))"), "{{limit}}")),
            lines("What does it ask for?", "Validations stored a second: of new accounts, and again of those that were there.", "ops", (f"sum by (kind, how) (rate(khata_validations_accepted_total{{{of}}}{RATE}))", "{{kind}} {{how}}")),
            lines("What do its accounts come to?", "Validations that became final a second.", "ops", (f"sum by (outcome) (rate(khata_validations_completed_total{{{of}}}{RATE}))", "{{outcome}}")),
            lines("Why do its accounts fail?", "By the code that the merchant sees.", "ops", (zero(f'sum by (failure) (rate(khata_validations_completed_total{{{of}, failure!=""}}{RATE}))'), "{{failure}}")),
            lines("What do its gateways answer?", "Calls a second by gateway account and class.", "ops", (f"sum by (gateway, gateway_account, class) (rate(khata_gateway_calls_total{{{of}}}{RATE}))", "{{gateway}} {{gateway_account}} {{class}}"), links=[link("Its validations, as traces", traces('{ resource.service.name = "khata-worker" && span.khata.merchant_id = "$merchant" }'))]),
            lines("Which of its gateways hold accounts up?", "Times a second that a validation was put off, and why.", "ops", (zero(f"sum by (gateway, gateway_account, why) (rate(khata_gateway_waits_total{{{of}}}{RATE}))"), "{{gateway}} {{gateway_account}} {{why}}")),
            lines("Does it need something set up?", "Times a second that one of its validations was looked at and nobody could be asked until people change something.", "ops", (zero(f"sum(rate(khata_validations_without_gateway_total{{{of}}}{RATE}))"), "nobody to ask")),
            lines("Is anything of it stuck?", "Validations that the scheduler should have taken care of and has not.", "none", (zero(f"max(khata_merchant_validations_stuck{{{of}}})"), "stuck")),
        ],
        [
            variable("name", "Merchant", "label_values(khata_merchant_info, name)", many=False),
            variable("merchant", "Its id", 'label_values(khata_merchant_info{name="$name"}, merchant_id)', many=False),
        ],
        [link("What is said of it", logs('{service_name=~"khata-.+"} |= "$merchant"'))],
    )


def pipeline():
    return dashboard(
        "pipeline",
        "pipeline",
        "How accounts go through: stored, rung for, claimed, settled; and what each part has in front of it.",
        [
            stat("Do messages reach the workers?", "Workers that are connected to RabbitMQ.", "none", "sum(khata_broker_connected)", good=1),
            stat("How deep is the queue?", "Messages that wait; each names up to 256 validations.", "none", 'max(khata_queue_messages{queue="validations"})', bad=100),
            stat("What did nobody understand?", "Messages among the dead letters.", "none", 'max(khata_queue_messages{queue="dead_letters"})', bad=1),
            stat("How old are the database's numbers?", "Since a worker last read them; after a minute they are not told any more.", "s", "min(khata_facts_age_seconds)", bad=60),
            lines("How far are accounts?", "Unfinished validations by state: DUE (a worker was called), LEASED (one is at it), WAITING (looked at later).", "none", ("max by (state) (khata_validations)", "{{state}}")),
            lines("How long does it take from asking to knowing?", "Most of it is the gateway's time.", "s", *quantiles("khata_validation_duration_seconds", by="outcome", of=(0.5, 0.95)), links=[link("Long validations, as traces", traces('{ resource.service.name = "khata-worker" && name =~ "process.*" && duration > 5s }'))]),
            lines("Have the workers room?", "Validations in hand, of those a worker may have. At 1 for long: more workers.", "percentunit", ("max by (instance) (khata_validations_in_hand / khata_validations_in_hand_max)", "{{instance}}")),
            lines("Is what is due taken up?", "For how long the scheduler should have looked at the first of those that no worker holds.", "s", ("max(khata_validation_oldest_overdue_age_seconds)", "overdue")),
            lines("Does what is rung for get claimed?", "Claims a second. moved_on: somebody else has it, or it is final; many of them: rings come twice.", "ops", (f"sum by (result) (rate(khata_claims_total{RATE}))", "{{result}}"), (f"sum(rate(khata_rings_total{RATE}))", "rung by khata-api")),
            lines("Does what was found out get written down?", "Settles a second. lease_lost: it took too long; too_late: Postgres was away; refused: a bug.", "ops", (f"sum by (result) (rate(khata_settles_total{RATE}))", "{{result}}")),
            lines("What does the scheduler ring for?", "waited: their time came; lost: rung for before and not claimed; rescued: their worker died. And what khata-api could not ring for.", "ops", (zero(f"sum by (why) (rate(khata_scheduler_rings_total{RATE}))"), "{{why}}"), (f"sum(rate(khata_rings_lost_total{RATE}))", "lost by khata-api")),
            lines("How many share a commit?", "Mean requests in one transaction: the busier, the more.", "none", (f"sum(rate(khata_create_batch_size_sum{RATE})) / sum(rate(khata_create_batch_size_count{RATE}))", "creates"), (f"sum by (part) (rate(khata_lane_batch_size_sum{RATE})) / sum by (part) (rate(khata_lane_batch_size_count{RATE}))", "{{part}}")),
            lines("How long does a commit take?", "One transaction of the API's creates, and of the workers' claims and settles.", "s", *[(expression, f"creates {legend}") for expression, legend in quantiles("khata_create_commit_duration_seconds", of=(0.5, 0.99))], *[(expression, f"claims and settles {legend}") for expression, legend in quantiles("khata_lane_commit_duration_seconds", of=(0.5, 0.99))]),
            lines("Do merchants repeat their calls?", "Answered with what an earlier call with the same Idempotency-Key was.", "ops", (f"sum(rate(khata_idempotent_replays_total{RATE}))", "replayed")),
            panel("table", "Which release runs where?", "Version and commit of each process.", "none", ("max by (service, version, commit, instance) (khata_build_info)", "")),
            stat("How long may the sealing key seal?", "Until the key that seals is to have been replaced, by the process whose time is up first; far below nothing: nobody knows how old it is. See KhataSealingKeyIsOld.", "s", "min(khata_sealing_key_rotate_by_timestamp_seconds) - time()", good=30 * 86400, width=12),
        ],
        links=[
            link("A worker's traces", traces('{ resource.service.name = "khata-worker" }')),
            link("What workers say", logs('{service_name="khata-worker"}')),
        ],
    )


def main():
    made = {f"{each['uid'].removeprefix('khata-')}.json": each for each in (overview(), gateways(), merchant(), pipeline())}
    check = sys.argv[1:] == ["--check"]
    stale = []
    for name, content in made.items():
        text = json.dumps(content, indent=2, ensure_ascii=False) + "\n"
        file = FOLDER / name
        if check and (not file.exists() or file.read_text() != text):
            stale.append(name)
        elif not check:
            file.write_text(text)
    if stale:
        sys.exit(f"khata: {', '.join(stale)}: run deploy/grafana/dashboards.py")


if __name__ == "__main__":
    main()
