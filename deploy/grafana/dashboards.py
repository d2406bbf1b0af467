#!/usr/bin/env python3
"""Generates the dashboards in deploy/grafana/dashboards. With --check, only compares and fails if they are out of date.

A panel has a noun phrase for a title, a description that helps to read it, a unit, and queries. docs/metrics.md explains the metrics.
Every worker exports the same figures of the database, so that queries take their maximum. A counter begins at its first event, so
that queries count zero before it.
"""

import json
import sys
from pathlib import Path

from panels import RATE, band, cell, dashboard, lines, link, logs, merchants, quantiles, row, stat, table, to, traces, variable, zero

FOLDER = Path(__file__).parent / "dashboards"
MERCHANTS = 'route=~"/(customers|gateways|events|webhook-endpoints|banks|.well-known).*"'
# The names of merchants, known for an hour after the last worker exported them.
NAMED = " * on (merchant_id) group_left (name) max by (merchant_id, name) (last_over_time(khata_merchant_info[1h]))"
RUNBOOK = "What to do: docs/operations.md."
# The two objectives, over 30 days (docs/operations.md).
FAILED, LATE = 0.001, 0.05
# Shares from which KhataRequestsFailFast and KhataSettlesLateFast page.
FAILED_PAGE, LATE_PAGE = 14.4 * FAILED, 10 * LATE


def failed(window):
    """Returns the share of merchants' requests with a 5xx status."""
    count = f"khata_http_requests_total{{{MERCHANTS}}}[{window}]"
    failing = f'khata_http_requests_total{{{MERCHANTS}, status_class="5xx"}}[{window}]'
    return f"({zero(f'sum(rate({failing}))')}) / sum(rate({count}))"


def late(window):
    """Returns the share of accounts that became final more than 60 s after the gateway's response."""
    return f'1 - sum(rate(khata_settle_delay_seconds_bucket{{le="60.0"}}[{window}])) / sum(rate(khata_settle_delay_seconds_count[{window}]))'


def overview():
    labels = "alertname, severity, gateway, gateway_account, merchant_id, instance"
    alerts = f'sum by ({labels}) (ALERTS{{alertname=~"Khata.+", alertstate="firing"}})'
    oldest = "max by (merchant_id) (khata_merchant_oldest_unfinished_age_seconds)"
    one = to("merchant", "Dashboard of ${__data.fields.name}", "var-merchant=${__data.fields.merchant_id}")
    pipeline, gateways = to("pipeline", "Pipeline"), to("gateways", "Gateways")
    return dashboard(
        "overview",
        "overview",
        "Health of the services, affected merchants, and money at risk.",
        [
            row("State"),
            stat("API processes up", f"Processes of khata-api that respond to Prometheus. {RUNBOOK}", "none", zero('sum(up{job="khata-api"})'), good=1),
            stat("Workers up", f"Workers that respond to Prometheus. {RUNBOOK}", "none", zero('sum(up{job="khata-worker"})'), good=1, links=[pipeline]),
            stat("Firing alerts", "Alerts of Khata, including those that Alertmanager inhibits. Each has a section in docs/operations.md.", "none", zero('count(ALERTS{alertname=~"Khata.+", alertstate="firing"})'), bad=1),
            stat("Merchants without a usable gateway", "Merchants whose gateway accounts are all down, paused or misconfigured.", "none", zero("count(max by (merchant_id) (khata_merchant_gateways_usable) == 0)"), bad=1, links=[gateways]),
            stat("Stuck validations", "Overdue validations that no scheduler processes.", "none", "max(khata_validations_stuck)", bad=1, links=[pipeline]),
            stat("Validations set aside", "Ten steps in a row failed: workers try these once an hour, until the deadline.", "none", "max(khata_validations_set_aside)", bad=1, links=[pipeline]),
            stat("Age of the oldest unfinished validation", "Time since its request. A validation fails at its deadline, 48 h by default.", "s", "max(khata_validation_oldest_unfinished_age_seconds)", bad=1800),
            stat("Possible double drops", "Attempts in the selected time that started although a lost attempt may have paid its rupee.", "none", zero("sum(increase(khata_gateway_possible_double_drops_total[$__range]))"), bad=0.01, decimals=0, links=[gateways]),
            table(
                "Firing alerts",
                "Alerts that fire now. Zero without a name: no alert fires. The alert's annotation runbook_url leads to its section in docs/operations.md.",
                (zero(f"{alerts}{NAMED} or on ({labels}) {alerts}"), ""),
                organize={"renameByName": {"Value": "alerts"}},
                overrides=[cell("gateway", to("gateways", "Dashboard of ${__value.text}", "var-gateway=${__value.text}")), cell("merchant_id", to("merchant", "Dashboard of ${__value.text}", "var-merchant=${__value.text}"))],
            ),
            table(
                "Unfinished validations by merchant",
                "Age of the oldest, and number. Zero without a merchant: no account waits.",
                (zero(f"topk(20, {oldest}){NAMED}"), ""),
                (zero(f"topk(20, max by (merchant_id) (khata_merchant_validations_unfinished)){NAMED}"), ""),
                organize={"renameByName": {"Value #A": "oldest", "Value #B": "unfinished"}},
                overrides=[cell("name", one), cell("oldest", unit="s")],
            ),
            row("Objectives"),
            stat("Share of successful requests", "Merchants' requests in the selected time without a 5xx status. The objective is 99.9 % over 30 days.", "percentunit", f"1 - {failed('$__range')}", good=1 - FAILED, decimals=3),
            stat("Error budget left", "Part of the 0.1 % of requests that may fail which is not used up. Select 30 days to compare with the objective.", "percentunit", f"1 - {failed('$__range')} / {FAILED}", good=0.25, decimals=1),
            stat("Share of accounts final within 60 s", "Of accounts in the selected time, after the gateway's response. The objective is 95 % over 30 days.", "percentunit", f"1 - ({late('$__range')})", good=1 - LATE, decimals=2),
            stat("Lateness budget left", "Part of the 5 % of accounts that may be late which is not used up. Select 30 days to compare with the objective.", "percentunit", f"1 - ({late('$__range')}) / {LATE}", good=0.25, decimals=1),
            lines("Share of failed requests", "Merchants' requests with a 5xx status. Lines: the objective, and the share from which KhataRequestsFailFast pages.", "percentunit", (failed("5m"), "5 minutes"), (failed("1h"), "1 hour"), limit=(FAILED, FAILED_PAGE), high=0.016),
            lines("Share of late accounts", "Final more than 60 s after the gateway's response. Lines: the objective, and the share from which KhataSettlesLateFast pages.", "percentunit", (late("5m"), "5 minutes"), (late("1h"), "1 hour"), limit=(LATE, LATE_PAGE), high=0.6),
            row("Validations"),
            lines(
                "Validations stored and completed per second",
                "A backlog grows while more validations are stored than completed.",
                "ops",
                (f"sum(rate(khata_validations_accepted_total{RATE}))", "stored"),
                (f"sum(rate(khata_validations_completed_total{RATE}))", "completed"),
                links=[pipeline],
            ),
            lines("Validations completed per second by outcome", "UNAVAILABLE: no gateway had a result before the deadline.", "ops", (f"sum by (outcome) (rate(khata_validations_completed_total{RATE}))", "{{outcome}}"), links=[gateways]),
            lines(
                "Time from gateway response to final account",
                "Khata's own time, from a gateway's response or webhook to the final account. Line: the objective, 60 s for 95 %.",
                "s",
                *quantiles("khata_settle_delay_seconds"),
                limit=(60,),
                links=[pipeline, link("Traces of slow validations", traces('{ resource.service.name = "khata-worker" && name = "settle validation" && duration > 1s }'))],
            ),
            lines("Age of the oldest unfinished validation over time", "Lines: KhataOldestUnfinished warns after half an hour, KhataDeadlineIsNear pages after a day.", "s", ("max(khata_validation_oldest_unfinished_age_seconds)", "oldest"), limit=(1800, 86400)),
            row("Requests"),
            lines(
                "Failed requests per second by route",
                "Merchants' requests with a 5xx status.",
                "ops",
                (zero(f'sum by (route, method) (rate(khata_http_requests_total{{{MERCHANTS}, status_class="5xx"}}{RATE}))', "method"), "{{method}} {{route}}"),
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
            lines("Requests in flight", "By process, including requests that wait for an outcome.", "none", ("sum by (instance) (khata_http_requests_in_flight)", "{{instance}}"), ("sum(khata_outcome_waiters)", "waiting for an outcome")),
            lines("Authentication failures per second by reason", "Requests rejected with 401. Many with unknown_key: a client guesses keys, or uses a revoked one. Line: KhataAuthenticationFailures warns.", "ops", (zero(f"sum by (reason) (rate(khata_authentication_failures_total{RATE}))", "reason"), "{{reason}}"), limit=(5,), high=6),
            row("Postgres"),
            lines("Postgres connections in use", "Share of the connections that a process may open. At 100 % for long, reads wait for a connection.", "percentunit", ('max by (job, instance) (khata_database_connections{state="in_use"} / ignoring (state) khata_database_connections_max)', "{{job}} {{instance}}"), limit=(1,), high=1),
            lines("Silent Postgres connections closed per second", "A statement got no response for 7 s: something between the service and Postgres drops packets.", "ops", (zero(f"sum by (job, instance) (rate(khata_database_connections_closed_total{RATE}))", "job"), "{{job}} {{instance}}")),
        ],
        links=[
            link("Failed traces", traces("{ status = error }")),
            link("Errors in the logs", logs('{service_name=~"khata-.+"} | severity_text="ERROR"')),
        ],
    )


def gateways():
    of = 'merchant_id=~"$merchant", gateway=~"$gateway"'
    account = "merchant_id, gateway, gateway_account"
    legend = "{{name}} {{gateway}} {{gateway_account}}"
    calls = f"sum by ({account}) (rate(khata_gateway_calls_total{{{of}}}{RATE}))"
    unanswered = f'sum by ({account}) (rate(khata_gateway_calls_total{{{of}, class="NO_ANSWER"}}{RATE})) or 0 * {calls}'
    merchant = to("merchant", "Dashboard of ${__field.labels.name}", "var-merchant=${__field.labels.merchant_id}")
    linked = {"overrides": [{"matcher": {"id": "byType", "options": "number"}, "properties": [{"id": "links", "value": [merchant]}]}]}
    return dashboard(
        "gateways",
        "gateways",
        "Availability, speed, limits and cost of the gateways.",
        [
            row("State"),
            stat("Open gateway circuits", "Gateway accounts at which most recent calls failed. Workers send them an occasional trial call only.", "none", zero(f"sum(max by ({account}) (khata_gateway_circuit_open{{{of}}}))"), bad=1),
            stat("Misconfigured gateway accounts", "Gateway accounts whose last response rejected our configuration: credentials, balance, list of IP addresses, a feature that is off. `khata gateway list` shows the gateway's code.", "none", zero(f"sum(max by ({account}) (khata_gateway_misconfigured{{{of}}}))"), bad=1),
            stat("Possible double drops", "Attempts in the selected time that started although a lost attempt may have paid its rupee.", "none", zero(f"sum(increase(khata_gateway_possible_double_drops_total{{{of}}}[$__range]))"), bad=0.01, decimals=0),
            stat("Penny drops paid", "Penny drops in the selected time with the result VALID, one rupee each. Lost attempts are not included.", "none", zero(f'sum(increase(khata_gateway_penny_drops_completed_total{{{of}, class="VALID"}}[$__range]))'), decimals=0),
            row("By gateway"),
            lines("Gateway calls per second by result", "By class of the response. NO_ANSWER: a time-out or a broken connection.", "ops", (f"sum by (gateway, class) (rate(khata_gateway_calls_total{{{of}}}{RATE}))", "{{gateway}} {{class}}"), links=[link("Traces of gateway calls", traces('{ resource.service.name = "khata-worker" && kind = client }'))]),
            lines("Gateway call duration", "Calls of all merchants, with and without a response. Line: KhataGatewayIsSlow warns when p95 is above it.", "s", *quantiles("khata_gateway_call_duration_seconds", by="gateway", where='gateway=~"$gateway"', of=(0.5, 0.95)), limit=(5,), links=[link("Traces of slow calls", traces('{ resource.service.name = "khata-worker" && name = "verify at gateway" && duration > 2s }'))]),
            lines("Gateway webhooks per second", "By result. refused: the signature does not match our secret.", "ops", (zero(f'sum by (gateway, result) (rate(khata_gateway_webhooks_total{{gateway=~"$gateway"}}{RATE}))', "gateway"), "{{gateway}} {{result}}"), (zero(f'sum by (gateway) (rate(khata_gateway_webhooks_recorded_total{{gateway=~"$gateway"}}{RATE}))', "gateway"), "{{gateway}} applied by workers")),
            lines("Unknown gateway codes per hour", "Codes that the connector's table does not list yet: add them.", "none", (zero(f'sum by (gateway) (increase(khata_gateway_unlisted_codes_total{{gateway=~"$gateway"}}[1h]))', "gateway"), "{{gateway}}")),
            row("By gateway account"),
            lines("Unavailable gateway accounts by cause", "1 while the gateway account is down, paused or misconfigured. No line: all are available.", "none", *[(zero(f"(max by ({account}) (khata_gateway_{metric}{{{of}}}) > 0){NAMED}", "name"), f"{legend} {cause}") for metric, cause in (("circuit_open", "down"), ("paused", "paused"), ("misconfigured", "misconfigured"))], **linked),
            lines("Share of gateway calls without a response", "Nothing is lost: workers look up each call that was sent. Line: KhataGatewayDoesNotRespond warns.", "percentunit", (f"(({unanswered}) / {calls}){NAMED}", legend), limit=(0.2,), high=0.25, **linked),
            lines("Mean call duration by gateway account", "Calls with and without a response.", "s", (f"(sum by ({account}) (rate(khata_gateway_account_call_time_seconds_total{{{of}}}{RATE})) / {calls}){NAMED}", legend), **linked),
            lines("Validations postponed per second by gateway limit", "By cause: rate (the calls per minute are used up, and a later call is booked), busy (too many calls at once), down, paused, hours.", "ops", (zero(f"sum by ({account}, why) (rate(khata_gateway_waits_total{{{of}}}{RATE})){NAMED}", "name"), f"{legend} {{{{why}}}}"), **linked),
            lines("Fields not understood per hour", "Fields of gateways' responses and webhooks that could not be read and were left out, by gateway account and field.", "none", (zero(f"sum by ({account}, field) (increase(khata_gateway_fields_not_understood_total{{{of}}}[1h])){NAMED}", "name"), f"{legend} {{{{field}}}}"), (zero(f"sum by ({account}, field) (increase(khata_gateway_webhook_fields_not_understood_total{{{of}}}[1h])){NAMED}", "name"), f"{legend} {{{{field}}}} in webhooks"), width=24, **linked),
        ],
        [variable("gateway", "Gateway", "label_values(khata_gateway_misconfigured, gateway)"), merchants(many=True)],
        [link("Warnings and errors of workers", logs('{service_name="khata-worker"} | severity_text=~"ERROR|WARN"'))],
    )


def merchant():
    of = 'merchant_id="$merchant"'
    gateways = to("gateways", "Gateways of this merchant", "${merchant:queryparam}")
    return dashboard(
        "merchant",
        "merchant",
        "Requests, outcomes and causes of waiting of one merchant.",
        [
            row("State"),
            stat("Unfinished validations", "Validations of this merchant without an outcome.", "none", zero(f"max(khata_merchant_validations_unfinished{{{of}}})")),
            stat("Age of the oldest unfinished validation", "Time since its request.", "s", zero(f"max(khata_merchant_oldest_unfinished_age_seconds{{{of}}})"), bad=1800),
            stat("Usable gateway accounts", "Enabled gateway accounts that are not down, paused or misconfigured.", "none", f"max(khata_merchant_gateways_usable{{{of}}})", good=1, links=[gateways]),
            stat("Penny drops paid", "Penny drops in the selected time with the result VALID, one rupee each.", "none", zero(f'sum(increase(khata_gateway_penny_drops_completed_total{{{of}, class="VALID"}}[$__range]))'), decimals=0),
            row("Requests and limits"),
            lines("Requests per second by status class", "Requests of this merchant.", "ops", (f"sum by (status_class) (rate(khata_merchant_requests_total{{{of}}}{RATE}))", "{{status_class}}"), links=[link("Traces of this merchant's requests", traces('{ resource.service.name = "khata-api" && span.khata.merchant_id = "$merchant" }'))]),
            lines("Rate-limited requests per second", "Requests rejected with 429: too many per second, too many validations of the same account in a day, or no penny drops left in the day. `khata merchant set` changes the limits.", "ops", (zero(f"sum by (limit) (rate(khata_requests_limited_total{{{of}}}{RATE}))", "limit"), "{{limit}}")),
            lines("Used share of the daily penny drops", "From 100 % on, calls that could pay are rejected until midnight in India. Line: KhataPennyDropBudget warns.", "percentunit", (zero(f"max(khata_merchant_penny_drop_budget_used_ratio{{{of}}})"), "used"), limit=(0.8, 1), high=1),
            lines("API keys that expire within 14 days", "Valid keys of this merchant without a newer key that lives longer. `khata key rotate` issues one.", "none", (zero(f"max(khata_merchant_api_keys_expiring{{{of}}})"), "keys")),
            row("Validations"),
            lines("Validations stored per second", "Of new accounts, and repeated ones of existing accounts.", "ops", (f"sum by (kind, how) (rate(khata_validations_accepted_total{{{of}}}{RATE}))", "{{kind}} {{how}}")),
            lines("Validations completed per second by outcome", "Validations with a final outcome.", "ops", (f"sum by (outcome) (rate(khata_validations_completed_total{{{of}}}{RATE}))", "{{outcome}}")),
            lines("Failed validations per second by failure code", "The failure code in the API's reply.", "ops", (zero(f'sum by (failure) (rate(khata_validations_completed_total{{{of}, failure!=""}}{RATE}))', "failure"), "{{failure}}")),
            lines("Stuck validations", "Overdue validations that no scheduler processes.", "none", (zero(f"max(khata_merchant_validations_stuck{{{of}}})"), "stuck"), limit=(1,), high=2, links=[to("pipeline", "Pipeline")]),
            lines("Accounts in review", "Accounts that wait for a person to accept or reject the holder's name: `khata account list --in-review`. See KhataNameReviewWaits.", "none", (zero(f"max(khata_merchant_accounts_in_review{{{of}}})"), "accounts")),
            lines("Age of the oldest account in review", "Time since it began to wait for a person. Line: KhataNameReviewWaits warns.", "s", (zero(f"max(khata_merchant_oldest_review_age_seconds{{{of}}})"), "oldest"), limit=(2 * 86400,)),
            row("Gateways"),
            lines("Gateway calls per second by result", "By gateway account and class of the response.", "ops", (f"sum by (gateway, gateway_account, class) (rate(khata_gateway_calls_total{{{of}}}{RATE}))", "{{gateway}} {{gateway_account}} {{class}}"), links=[gateways, link("Traces of this merchant's validations", traces('{ resource.service.name = "khata-worker" && span.khata.merchant_id = "$merchant" }'))]),
            lines("Validations postponed per second by gateway account", "By cause.", "ops", (zero(f"sum by (gateway, gateway_account, why) (rate(khata_gateway_waits_total{{{of}}}{RATE}))", "gateway"), "{{gateway}} {{gateway_account}} {{why}}"), links=[gateways]),
            lines("Validations without an eligible gateway per second", "Attempts to process validations that wait until an operator changes the configuration.", "ops", (zero(f"sum(rate(khata_validations_without_gateway_total{{{of}}}{RATE}))"), "no eligible gateway"), width=24),
        ],
        [merchants(many=False)],
        [link("Log lines with this merchant's id", logs('{service_name=~"khata-.+"} |= "$merchant"'))],
    )


def pipeline():
    return dashboard(
        "pipeline",
        "pipeline",
        "Path of an account: stored, wake-up published, claimed, settled; and the load of each part.",
        [
            row("State"),
            stat("Workers connected to RabbitMQ", "Only a connected worker receives wake-ups.", "none", zero("sum(khata_broker_connected)"), good=1),
            stat("Queue length", "Messages that wait. Each names up to 256 validations.", "none", 'max(khata_queue_messages{queue=~"validations|awaited"})', bad=100),
            stat("Dead-letter messages", "Messages that no worker could decode, or that RabbitMQ delivered twenty times.", "none", 'max(khata_queue_messages{queue="dead_letters"})', bad=1),
            stat("Age of the database figures", "Time since a worker last read them. Workers stop exporting them after a minute.", "s", "min(khata_facts_age_seconds)", bad=60),
            row("Validations"),
            lines("Open validations by state", "DUE: a wake-up was published. LEASED: a worker processes it. WAITING: due later.", "none", ("max by (state) (khata_validations)", "{{state}}")),
            lines("Validation duration by outcome", "From the request to the outcome. Most of it is the gateways' time.", "s", *quantiles("khata_validation_duration_seconds", by="outcome", of=(0.5, 0.95)), links=[to("gateways", "Gateways"), link("Traces of long validations", traces('{ resource.service.name = "khata-worker" && name =~ "process.*" && duration > 5s }'))]),
            lines("Delay of the oldest overdue validation", "Time since the due time of the first validation that no worker holds. Line: it counts as stuck.", "s", ("max(khata_validation_oldest_overdue_age_seconds)", "overdue"), limit=(120,)),
            lines("Results recorded per second", "Settles by result. lease_lost: the worker was too slow. too_late: Postgres was down. refused: a bug.", "ops", (f"sum by (result) (rate(khata_settles_total{RATE}))", "{{result}}")),
            row("Workers"),
            lines("Worker capacity used", "Share of the validations that a worker may process at once. At 100 % for long, add workers.", "percentunit", ("max by (instance) (khata_validations_in_progress / khata_validations_in_progress_max)", "{{instance}}"), limit=(1,), high=1),
            lines("Queued validations by worker", "Validations whose wake-ups wait in a worker for the turn of their merchant.", "none", ("khata_validations_queued", "{{instance}}")),
            band("Clock offset by process", "Time by which the machine's clock is ahead of Postgres's. Lines: KhataClockOffset warns. Beyond 30 s a worker claims nothing.", "s", ("khata_clock_offset_seconds", "{{job}} {{instance}}"), limit=2),
            table("Releases by process", "Version and commit of each process.", ("max by (service, version, commit, instance) (khata_build_info)", ""), organize={"excludeByName": {"Time": True, "Value": True}}),
            row("Wake-ups"),
            lines("Wake-ups per second, claimed and skipped", "Claims per second. moved_on: another worker holds the validation, or it is final; a high rate means duplicate wake-ups.", "ops", (f"sum by (result) (rate(khata_claims_total{RATE}))", "{{result}}"), (f"sum(rate(khata_wakeups_total{RATE}))", "published by khata-api")),
            lines("Wake-ups by the scheduler per second", "waited: the due time came. lost: no worker claimed an earlier wake-up. rescued: the lease of a stopped worker ended. Also wake-ups that khata-api could not publish.", "ops", (zero(f"sum by (why) (rate(khata_scheduler_wakeups_total{RATE}))", "why"), "{{why}}"), (f"sum(rate(khata_wakeups_lost_total{RATE}))", "lost by khata-api")),
            row("Commits"),
            lines("Requests per commit", "Mean number of requests in one transaction. The number rises with the load.", "none", (f"sum(rate(khata_create_batch_size_sum{RATE})) / sum(rate(khata_create_batch_size_count{RATE}))", "creates"), (f"sum by (part) (rate(khata_lane_batch_size_sum{RATE})) / sum by (part) (rate(khata_lane_batch_size_count{RATE}))", "{{part}}")),
            lines("Commit duration", "Transactions of the API's creates, and of the workers' claims and settles.", "s", *[(expression, f"creates {legend}") for expression, legend in quantiles("khata_create_commit_duration_seconds", of=(0.5, 0.99))], *[(expression, f"claims and settles {legend}") for expression, legend in quantiles("khata_lane_commit_duration_seconds", of=(0.5, 0.99))]),
            lines("Idempotent replays per second", "Requests that repeat an Idempotency-Key and get the reply of the first request.", "ops", (f"sum(rate(khata_idempotent_replays_total{RATE}))", "replayed"), width=24),
            row("Deliveries of events"),
            lines("Webhook attempts per second by result", "Attempts to deliver events. failed: another attempt follows. given_up: the last attempt failed.", "ops", (zero(f"sum by (result, failure) (rate(khata_webhook_attempts_total{RATE}))", "result"), "{{result}} {{failure}}"), (zero(f"sum(rate(khata_webhook_attempts_repeated_total{RATE}))"), "repeated after a lost result"), links=[link("Traces of deliveries", traces('{ resource.service.name = "khata-worker" && name = "deliver event" }'))]),
            lines("Delay of the first attempt to deliver an event", "From the event to the call.", "s", *[(zero(f"{expression} >= 0"), legend) for expression, legend in quantiles("khata_webhook_first_attempt_delay_seconds")]),
            lines("Open deliveries by state", "Events that no endpoint has accepted yet. disabled: their endpoint is disabled.", "none", ("max by (state) (khata_webhook_deliveries_open)", "{{state}}")),
            lines("Age of the oldest due delivery", "Time since it was due, of endpoints that work and of those whose last call failed. Line: KhataWebhookDeliveriesLate pages for those that work.", "s", ("max by (endpoint) (khata_webhook_oldest_due_age_seconds)", "{{endpoint}}"), limit=(600,)),
            lines("Webhook calls in progress", "By worker. At KHATA_DELIVERY_CONCURRENCY for long, add workers.", "none", ("khata_webhook_calls_in_progress", "{{instance}}")),
            lines("Webhook endpoints by worker", "Endpoints whose calls the worker makes; among them those of which most calls fail, and those whose settings are unusable.", "none", ("khata_webhook_endpoints_owned", "{{instance}} owned"), ("khata_webhook_circuits_open", "{{instance}} circuit open"), ("khata_webhook_endpoints_unreadable", "{{instance}} unusable settings")),
            lines("Webhook endpoints disabled per hour", "By rule. FAILING: no call succeeded for five days. GONE: the endpoint replied 410. See KhataWebhookEndpointDisabled.", "none", (zero("sum by (why) (increase(khata_webhook_endpoints_disabled_total[1h]))", "why"), "{{why}}"), width=24),
            lines("Age of the oldest event that readers do not see", "An older write transaction of the Postgres server is open. Line: KhataEventsHeldBack warns.", "s", ("max(khata_events_held_back_age_seconds)", "held back"), limit=(60,)),
            lines("Posts of alerts to operators per second", "By result; nothing while no alert fires, or KHATA_OPERATOR_ALERTS_URL is empty. See KhataOperatorAlertsFail.", "ops", (zero(f"sum by (result) (rate(khata_operator_alert_posts_total{RATE}))", "result"), "{{result}}")),
            row("Keys and lists"),
            stat("Time until the key rotation is due", "Of the process with the oldest encryption key. Far below zero: the age of the key is unknown. See KhataEncryptionKeyIsOld.", "s", "min(khata_encryption_key_rotate_by_timestamp_seconds) - time()", good=30 * 86400, width=8),
            stat("Values encrypted by key", "Of all processes together, for the key with the most. AES-GCM permits 2^32, 4.3 billion. See KhataEncryptionKeyIsUsedUp.", "short", "max(khata_encryption_key_encryptions)", bad=2**31, width=8),
            stat("Age of the oldest list", "Of IFSCs or UPI handles, which are part of the program. See KhataListIsOld.", "s", "time() - min(khata_list_timestamp_seconds)", bad=180 * 86400, width=8),
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
