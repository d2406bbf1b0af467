#!/usr/bin/env python3
"""Generates the dashboards in deploy/grafana/dashboards. With --check, only compares and fails if they are out of date.

A panel has a noun phrase for a title, a description that helps to read it, a unit, and queries. docs/metrics.md explains the metrics.
Every worker exports the same figures of the database, so that queries take their maximum. A counter begins at its first event, so
that queries count zero before it.
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
    """Returns the address of Grafana's Explore page for one query."""
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
    result = {
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
        result["links"] = list(links)
    if kind == "table":
        hidden = {"Time": True} | {f"Value #{letter}": False for letter in "AB"}
        result["transformations"] = [{"id": "merge", "options": {}}, {"id": "organize", "options": {"excludeByName": hidden} | more.pop("organize", {})}]
    return result


def stat(title, description, unit, expression, bad=None, good=None, **more):
    """A number that is red from `bad` on, or below `good`."""
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
    result = {
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
        result |= {"allValue": ".*", "current": {"text": "All", "value": "$__all"}}
    return result


def placed(panels):
    """Places panels from left to right, and begins a new row when one is full."""
    x = y = tallest = 0
    for number, result in enumerate(panels, 1):
        grid = result["gridPos"]
        if x + grid["w"] > 24:
            x, y, tallest = 0, y + tallest, 0
        grid |= {"x": x, "y": y}
        x, tallest = x + grid["w"], max(tallest, grid["h"])
        result["id"] = number
    return panels


def dashboard(name, title, description, panels, variables=(), links=()):
    others = {
        "title": "Khata dashboards",
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
        "links": [others] + [{"type": "link", "icon": "external link", **result} for result in links],
        "panels": placed(panels),
    }


def zero(expression):
    """Returns zero if the expression has no value."""
    return f"({expression}) or on () vector(0)"


def overview():
    failing = f'sum(rate(khata_http_requests_total{{{MERCHANTS}, status_class="5xx"}}{RATE}))'
    total = f"sum(rate(khata_http_requests_total{{{MERCHANTS}}}{RATE}))"
    return dashboard(
        "overview",
        "overview",
        "Health of the services, affected merchants, and money at risk.",
        [
            stat("API processes up", f"Processes of khata-api that respond to Prometheus. {RUNBOOK}", "none", 'sum(up{job="khata-api"})', good=1),
            stat("Workers up", f"Workers that respond to Prometheus. {RUNBOOK}", "none", 'sum(up{job="khata-worker"})', good=1),
            stat("Firing alerts", "Alerts of Khata. Each has a section in docs/operations.md.", "none", zero('sum(ALERTS{alertname=~"Khata.+", alertstate="firing"})'), bad=1),
            stat("Stuck validations", "Overdue validations that no scheduler processes.", "none", "max(khata_validations_stuck)", bad=1),
            stat("Validations set aside", "Ten steps in a row failed: workers try these once an hour, until the deadline.", "none", "max(khata_validations_set_aside)", bad=1),
            stat("Share of failed requests", "Merchants' requests with a 5xx status. The objective is 0.1 % over 30 days.", "percentunit", f"({zero(failing)}) / {total} or vector(0)", bad=0.001),
            stat("Age of the oldest unfinished validation", "Time since its request. A validation fails at its deadline, 48 h by default.", "s", "max(khata_validation_oldest_unfinished_age_seconds)", bad=1800),
            stat("Merchants without a usable gateway", "Merchants whose gateway accounts are all down, paused or misconfigured.", "none", zero("count(max by (merchant_id) (khata_merchant_gateways_usable) == 0)"), bad=1),
            stat("Possible double drops", "Attempts in the selected time that started although a lost attempt may have paid its rupee.", "none", zero("sum(increase(khata_gateway_possible_double_drops_total[$__range]))"), bad=0.01),
            lines(
                "Validations stored and completed per second",
                "A backlog grows while more validations are stored than completed.",
                "ops",
                (f"sum(rate(khata_validations_accepted_total{RATE}))", "stored"),
                (f"sum(rate(khata_validations_completed_total{RATE}))", "completed"),
            ),
            lines(
                "Time from gateway response to final account",
                "Khata's own time, from a gateway's response or webhook to the final account. The objective is 95 % within 60 s.",
                "s",
                *quantiles("khata_settle_delay_seconds"),
                links=[link("Traces of slow validations", traces('{ resource.service.name = "khata-worker" && name = "settle validation" && duration > 1s }'))],
            ),
            panel(
                "table",
                "Unfinished validations by merchant",
                "Age of the oldest in seconds, and number. Zero without a merchant: no account waits.",
                "none",
                (zero(f"topk(20, max by (merchant_id) (khata_merchant_oldest_unfinished_age_seconds)){NAMED}"), ""),
                (zero(f"topk(20, max by (merchant_id) (khata_merchant_validations_unfinished)){NAMED}"), ""),
                organize={"renameByName": {"Value #A": "oldest, seconds", "Value #B": "unfinished"}},
            ),
            lines(
                "Failed requests per second by route",
                "Merchants' requests with a 5xx status.",
                "ops",
                (zero(f'sum by (route, method) (rate(khata_http_requests_total{{status_class="5xx"}}{RATE}))'), "{{method}} {{route}}"),
                links=[
                    link("Traces of failed requests", traces('{ resource.service.name = "khata-api" && status = error }')),
                    link("Warnings and errors of khata-api", logs('{service_name="khata-api"} | severity_text=~"ERROR|WARN"')),
                ],
            ),
            lines(
                "Request duration",
                "Requests that do not wait for an outcome. Each exemplar links to a trace.",
                "s",
                *quantiles("khata_http_request_duration_seconds", where=f'{MERCHANTS}, waits="false"'),
                links=[link("Traces of slow requests", traces('{ resource.service.name = "khata-api" && duration > 500ms }'))],
            ),
            lines(
                "Validations completed per second by outcome",
                "UNAVAILABLE: no gateway had a result before the deadline.",
                "ops",
                (f"sum by (outcome) (rate(khata_validations_completed_total{RATE}))", "{{outcome}}"),
            ),
            lines(
                "Requests in flight",
                "By process, including requests that wait for an outcome.",
                "none",
                ("sum by (instance) (khata_http_requests_in_flight)", "{{instance}}"),
                ("sum(khata_outcome_waiters)", "waiting for an outcome"),
            ),
            lines(
                "Authentication failures per second by reason",
                "Requests rejected with 401. Many with unknown_key: a client guesses keys, or uses a revoked one.",
                "ops",
                (zero(f"sum by (reason) (rate(khata_authentication_failures_total{RATE}))"), "{{reason}}"),
            ),
            lines(
                "Postgres connections in use",
                "Share of the connections that a process may open. At 100 % for long, reads wait for a connection.",
                "percentunit",
                ('max by (job, instance) (khata_database_connections{state="in_use"} / ignoring (state) khata_database_connections_max)', "{{job}} {{instance}}"),
            ),
            lines(
                "Silent Postgres connections closed per second",
                "A statement got no response for 7 s: something between the service and Postgres drops packets.",
                "ops",
                (zero(f"sum by (job, instance) (rate(khata_database_connections_closed_total{RATE}))"), "{{job}} {{instance}}"),
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
        "Availability, speed, limits and cost of the gateways.",
        [
            stat("Misconfigured gateway accounts", "Gateway accounts whose last response rejected our configuration: credentials, balance, list of IP addresses, a feature that is off. `khata gateway list` shows the gateway's code.", "none", f"sum(max by ({account}) (khata_gateway_misconfigured{{{of}}}))", bad=1),
            stat("Open gateway circuits", "Gateway accounts at which most recent calls failed. Workers send them an occasional trial call only.", "none", f"sum(max by ({account}) (khata_gateway_circuit_open{{{of}}}))", bad=1),
            stat("Possible double drops", "Attempts in the selected time that started although a lost attempt may have paid its rupee.", "none", zero(f"sum(increase(khata_gateway_possible_double_drops_total{{{of}}}[$__range]))"), bad=0.01),
            stat("Penny drops paid", "Penny drops in the selected time with the result VALID, one rupee each. Lost attempts are not included.", "none", zero(f'sum(increase(khata_gateway_penny_drops_completed_total{{{of}, class="VALID"}}[$__range]))')),
            lines("Gateway calls per second by result", "By class of the response. NO_ANSWER: a time-out or a broken connection.", "ops", (f"sum by (gateway, class) (rate(khata_gateway_calls_total{{{of}}}{RATE}))", "{{gateway}} {{class}}"), links=[link("Traces of gateway calls", traces('{ resource.service.name = "khata-worker" && kind = client }'))]),
            lines("Gateway call duration", "Calls of all merchants, with and without a response.", "s", *quantiles("khata_gateway_call_duration_seconds", by="gateway", where='gateway=~"$gateway"', of=(0.5, 0.95)), links=[link("Traces of slow calls", traces('{ resource.service.name = "khata-worker" && name = "verify at gateway" && duration > 2s }'))]),
            lines("Share of gateway calls without a response", "By gateway account. Nothing is lost: workers look up each call that was sent.", "percentunit", (f"(sum by ({account}) (rate({unanswered}{RATE})) or 0 * sum by ({account}) (rate(khata_gateway_calls_total{{{of}}}{RATE}))) / sum by ({account}) (rate(khata_gateway_calls_total{{{of}}}{RATE}))", legend)),
            lines("Mean call duration by gateway account", "Calls with and without a response.", "s", (f"sum by ({account}) (rate(khata_gateway_account_call_time_seconds_total{{{of}}}{RATE})) / sum by ({account}) (rate(khata_gateway_calls_total{{{of}}}{RATE}))", legend)),
            lines("Unavailable gateway accounts by cause", "1 while the gateway account is down, paused or misconfigured.", "none", (f"max by ({account}) (khata_gateway_circuit_open{{{of}}})", f"{legend} down"), (f"max by ({account}) (khata_gateway_paused{{{of}}})", f"{legend} paused"), (f"max by ({account}) (khata_gateway_misconfigured{{{of}}})", f"{legend} misconfigured")),
            lines("Validations postponed per second by gateway limit", "By cause: rate (the calls per minute are used up, and a later call is booked), busy (too many calls at once), down, paused, hours.", "ops", (zero(f"sum by ({account}, why) (rate(khata_gateway_waits_total{{{of}}}{RATE}))"), f"{legend} {{{{why}}}}")),
            lines("Gateway webhooks per second", "By result. refused: the signature does not match our secret.", "ops", (zero(f'sum by (gateway, result) (rate(khata_gateway_webhooks_total{{gateway=~"$gateway"}}{RATE}))'), "{{gateway}} {{result}}"), (zero(f'sum by (gateway) (rate(khata_gateway_webhooks_recorded_total{{gateway=~"$gateway"}}{RATE}))'), "{{gateway}} applied by workers")),
            lines("Fields not understood per hour", "Fields of gateways' responses and webhooks that could not be read and were left out, by gateway account and field.", "none", (zero(f"sum by ({account}, field) (increase(khata_gateway_fields_not_understood_total{{{of}}}[1h]))"), f"{legend} {{{{field}}}}"), (zero(f"sum by ({account}, field) (increase(khata_gateway_webhook_fields_not_understood_total{{{of}}}[1h]))"), f"{legend} {{{{field}}}} in webhooks")),
            lines("Unknown gateway codes per hour", "Codes that the connector's table does not list yet: add them.", "none", (zero(f'sum by (gateway) (increase(khata_gateway_unlisted_codes_total{{gateway=~"$gateway"}}[1h]))'), "{{gateway}}")),
        ],
        [
            variable("gateway", "Gateway", "label_values(khata_gateway_misconfigured, gateway)"),
            variable("merchant", "Merchant id", "label_values(khata_gateway_misconfigured, merchant_id)"),
        ],
        [link("Warnings and errors of workers", logs('{service_name="khata-worker"} | severity_text=~"ERROR|WARN"'))],
    )


def merchant():
    of = 'merchant_id="$merchant"'
    return dashboard(
        "merchant",
        "merchant",
        "Requests, outcomes and causes of waiting of one merchant.",
        [
            stat("Unfinished validations", "Validations of this merchant without an outcome.", "none", zero(f"max(khata_merchant_validations_unfinished{{{of}}})")),
            stat("Age of the oldest unfinished validation", "Time since its request.", "s", zero(f"max(khata_merchant_oldest_unfinished_age_seconds{{{of}}})"), bad=1800),
            stat("Usable gateway accounts", "Enabled gateway accounts that are not down, paused or misconfigured.", "none", f"max(khata_merchant_gateways_usable{{{of}}})", good=1),
            stat("Penny drops paid", "Penny drops in the selected time with the result VALID, one rupee each.", "none", zero(f'sum(increase(khata_gateway_penny_drops_completed_total{{{of}, class="VALID"}}[$__range]))')),
            lines("Requests per second by status class", "Requests of this merchant.", "ops", (f"sum by (status_class) (rate(khata_merchant_requests_total{{{of}}}{RATE}))", "{{status_class}}"), links=[link("Traces of this merchant's requests", traces('{ resource.service.name = "khata-api" && span.khata.merchant_id = "$merchant" }'))]),
            lines("Rate-limited requests per second", "Requests rejected with 429: too many per second, too many validations of the same account in a day, or no penny drops left in the day. `khata merchant set` changes the limits.", "ops", (zero(f"sum by (limit) (rate(khata_requests_limited_total{{{of}}}{RATE}))"), "{{limit}}")),
            lines("Used share of the daily penny drops", "From 100 % on, calls that could pay are rejected until midnight in India.", "percentunit", (f"max(khata_merchant_penny_drop_budget_used_ratio{{{of}}})", "used")),
            lines("API keys that expire within 14 days", "Valid keys of this merchant without a newer key that lives longer. `khata key rotate` issues one.", "none", (zero(f"max(khata_merchant_api_keys_expiring{{{of}}})"), "keys")),
            lines("Accounts in review", "Accounts that wait for a person to accept or reject the holder's name: `khata account list --in-review`. See KhataNameReviewWaits.", "none", (zero(f"max(khata_merchant_accounts_in_review{{{of}}})"), "accounts")),
            lines("Age of the oldest account in review", "Time since it began to wait for a person.", "s", (zero(f"max(khata_merchant_oldest_review_age_seconds{{{of}}})"), "oldest")),
            lines("Validations stored per second", "Of new accounts, and repeated ones of existing accounts.", "ops", (f"sum by (kind, how) (rate(khata_validations_accepted_total{{{of}}}{RATE}))", "{{kind}} {{how}}")),
            lines("Validations completed per second by outcome", "Validations with a final outcome.", "ops", (f"sum by (outcome) (rate(khata_validations_completed_total{{{of}}}{RATE}))", "{{outcome}}")),
            lines("Failed validations per second by failure code", "The failure code in the API's reply.", "ops", (zero(f'sum by (failure) (rate(khata_validations_completed_total{{{of}, failure!=""}}{RATE}))'), "{{failure}}")),
            lines("Gateway calls per second by result", "By gateway account and class of the response.", "ops", (f"sum by (gateway, gateway_account, class) (rate(khata_gateway_calls_total{{{of}}}{RATE}))", "{{gateway}} {{gateway_account}} {{class}}"), links=[link("Traces of this merchant's validations", traces('{ resource.service.name = "khata-worker" && span.khata.merchant_id = "$merchant" }'))]),
            lines("Validations postponed per second by gateway account", "By cause.", "ops", (zero(f"sum by (gateway, gateway_account, why) (rate(khata_gateway_waits_total{{{of}}}{RATE}))"), "{{gateway}} {{gateway_account}} {{why}}")),
            lines("Validations without an eligible gateway per second", "Attempts to process validations that wait until an operator changes the configuration.", "ops", (zero(f"sum(rate(khata_validations_without_gateway_total{{{of}}}{RATE}))"), "no eligible gateway")),
            lines("Stuck validations", "Overdue validations that no scheduler processes.", "none", (zero(f"max(khata_merchant_validations_stuck{{{of}}})"), "stuck")),
        ],
        [
            variable("name", "Merchant", "label_values(khata_merchant_info, name)", many=False),
            variable("merchant", "Merchant id", 'label_values(khata_merchant_info{name="$name"}, merchant_id)', many=False),
        ],
        [link("Log lines with this merchant's id", logs('{service_name=~"khata-.+"} |= "$merchant"'))],
    )


def pipeline():
    return dashboard(
        "pipeline",
        "pipeline",
        "Path of an account: stored, wake-up published, claimed, settled; and the load of each part.",
        [
            stat("Workers connected to RabbitMQ", "Only a connected worker receives wake-ups.", "none", "sum(khata_broker_connected)", good=1),
            stat("Queue length", "Messages that wait. Each names up to 256 validations.", "none", 'max(khata_queue_messages{queue=~"validations|awaited"})', bad=100),
            stat("Dead-letter messages", "Messages that no worker could decode, or that RabbitMQ delivered twenty times.", "none", 'max(khata_queue_messages{queue="dead_letters"})', bad=1),
            stat("Age of the database figures", "Time since a worker last read them. Workers stop exporting them after a minute.", "s", "min(khata_facts_age_seconds)", bad=60),
            lines("Open validations by state", "DUE: a wake-up was published. LEASED: a worker processes it. WAITING: due later.", "none", ("max by (state) (khata_validations)", "{{state}}")),
            lines("Validation duration by outcome", "From the request to the outcome. Most of it is the gateways' time.", "s", *quantiles("khata_validation_duration_seconds", by="outcome", of=(0.5, 0.95)), links=[link("Traces of long validations", traces('{ resource.service.name = "khata-worker" && name =~ "process.*" && duration > 5s }'))]),
            lines("Worker capacity used", "Share of the validations that a worker may process at once. At 100 % for long, add workers.", "percentunit", ("max by (instance) (khata_validations_in_progress / khata_validations_in_progress_max)", "{{instance}}")),
            lines("Queued validations by worker", "Validations whose wake-ups wait in a worker for the turn of their merchant.", "none", ("khata_validations_queued", "{{instance}}")),
            lines("Clock offset by worker", "Time by which the machine's clock is ahead of Postgres's. Beyond 30 s a worker claims nothing.", "s", ("khata_clock_offset_seconds", "{{instance}}")),
            lines("Delay of the oldest overdue validation", "Time since the due time of the first validation that no worker holds.", "s", ("max(khata_validation_oldest_overdue_age_seconds)", "overdue")),
            lines("Wake-ups: claimed vs. skipped", "Claims per second. moved_on: another worker holds the validation, or it is final; a high rate means duplicate wake-ups.", "ops", (f"sum by (result) (rate(khata_claims_total{RATE}))", "{{result}}"), (f"sum(rate(khata_wakeups_total{RATE}))", "published by khata-api")),
            lines("Results recorded per second", "Settles by result. lease_lost: the worker was too slow. too_late: Postgres was down. refused: a bug.", "ops", (f"sum by (result) (rate(khata_settles_total{RATE}))", "{{result}}")),
            lines("Wake-ups by the scheduler per second", "waited: the due time came. lost: no worker claimed an earlier wake-up. rescued: the lease of a stopped worker ended. Also wake-ups that khata-api could not publish.", "ops", (zero(f"sum by (why) (rate(khata_scheduler_wakeups_total{RATE}))"), "{{why}}"), (f"sum(rate(khata_wakeups_lost_total{RATE}))", "lost by khata-api")),
            lines("Requests per commit", "Mean number of requests in one transaction. The number rises with the load.", "none", (f"sum(rate(khata_create_batch_size_sum{RATE})) / sum(rate(khata_create_batch_size_count{RATE}))", "creates"), (f"sum by (part) (rate(khata_lane_batch_size_sum{RATE})) / sum by (part) (rate(khata_lane_batch_size_count{RATE}))", "{{part}}")),
            lines("Commit duration", "Transactions of the API's creates, and of the workers' claims and settles.", "s", *[(expression, f"creates {legend}") for expression, legend in quantiles("khata_create_commit_duration_seconds", of=(0.5, 0.99))], *[(expression, f"claims and settles {legend}") for expression, legend in quantiles("khata_lane_commit_duration_seconds", of=(0.5, 0.99))]),
            lines("Webhook attempts per second by result", "Attempts to deliver events. failed: another attempt follows. given_up: the last attempt failed.", "ops", (zero(f"sum by (result, failure) (rate(khata_webhook_attempts_total{RATE}))"), "{{result}} {{failure}}"), (zero(f"sum(rate(khata_webhook_attempts_repeated_total{RATE}))"), "repeated after a lost result"), links=[link("Traces of deliveries", traces('{ resource.service.name = "khata-worker" && name = "deliver event" }'))]),
            lines("Delay of the first attempt to deliver an event", "From the event to the call.", "s", *[(zero(f"{expression} >= 0"), legend) for expression, legend in quantiles("khata_webhook_first_attempt_delay_seconds")]),
            lines("Open deliveries by state", "Events that no endpoint has accepted yet. disabled: their endpoint is disabled.", "none", ("max by (state) (khata_webhook_deliveries_open)", "{{state}}")),
            lines("Age of the oldest due delivery", "Time since it was due, of endpoints that work and of those whose last call failed. See KhataWebhookDeliveriesLate.", "s", ("max by (endpoint) (khata_webhook_oldest_due_age_seconds)", "{{endpoint}}")),
            lines("Webhook calls in progress", "By worker. At KHATA_DELIVERY_CONCURRENCY for long, add workers.", "none", ("khata_webhook_calls_in_progress", "{{instance}}")),
            lines("Webhook endpoints by worker", "Endpoints whose calls the worker makes; among them those of which most calls fail, and those whose settings are unusable.", "none", ("khata_webhook_endpoints_owned", "{{instance}} owned"), ("khata_webhook_circuits_open", "{{instance}} circuit open"), ("khata_webhook_endpoints_unreadable", "{{instance}} unusable settings")),
            lines("Webhook endpoints disabled per hour", "By rule. FAILING: no call succeeded for five days. GONE: the endpoint replied 410. See KhataWebhookEndpointDisabled.", "none", (zero("sum by (why) (increase(khata_webhook_endpoints_disabled_total[1h]))"), "{{why}}")),
            lines("Age of the oldest event that readers do not see", "An older write transaction of the Postgres server is open. See KhataEventsHeldBack.", "s", ("max(khata_events_held_back_age_seconds)", "held back")),
            lines("Posts of alerts to operators per second", "By result; nothing while no alert fires, or KHATA_OPERATOR_ALERTS_URL is empty. See KhataOperatorAlertsFail.", "ops", (zero(f"sum by (result) (rate(khata_operator_alert_posts_total{RATE}))"), "{{result}}")),
            lines("Idempotent replays per second", "Requests that repeat an Idempotency-Key and get the reply of the first request.", "ops", (f"sum(rate(khata_idempotent_replays_total{RATE}))", "replayed")),
            panel("table", "Releases by process", "Version and commit of each process.", "none", ("max by (service, version, commit, instance) (khata_build_info)", "")),
            stat("Time until the key rotation is due", "Of the process with the oldest encryption key. Far below zero: the age of the key is unknown. See KhataEncryptionKeyIsOld.", "s", "min(khata_encryption_key_rotate_by_timestamp_seconds) - time()", good=30 * 86400, width=12),
            stat("Age of the oldest list", "Of IFSCs or UPI handles, which are part of the program. See KhataListIsOld.", "s", "time() - min(khata_list_timestamp_seconds)", bad=180 * 86400, width=12),
            stat("Values encrypted by key", "Of all processes together, for the key with the most. AES-GCM permits 2^32, 4.3 billion. See KhataEncryptionKeyIsUsedUp.", "short", "max(khata_encryption_key_encryptions)", bad=2**31, width=12),
        ],
        links=[
            link("Traces of workers", traces('{ resource.service.name = "khata-worker" }')),
            link("Logs of workers", logs('{service_name="khata-worker"}')),
        ],
    )


def main():
    generated = {f"{each['uid'].removeprefix('khata-')}.json": each for each in (overview(), gateways(), merchant(), pipeline())}
    check = sys.argv[1:] == ["--check"]
    stale = []
    for name, content in generated.items():
        text = json.dumps(content, indent=2, ensure_ascii=False) + "\n"
        file = FOLDER / name
        if check and (not file.exists() or file.read_text() != text):
            stale.append(name)
        elif not check:
            file.write_text(text)
    if stale:
        sys.exit(f"khata: {', '.join(stale)} out of date: run deploy/grafana/dashboards.py")


if __name__ == "__main__":
    main()
