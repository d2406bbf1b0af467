"""Real ids for the calls: made-up ones would find nothing, and most of what is documented would never be seen.

Schemathesis loads this through SCHEMATHESIS_HOOKS.
"""

import base64
import functools
import itertools
import json
import os
import time
import urllib.request
import zlib

import schemathesis
from schemathesis.core.failures import AcceptedNegativeData
from schemathesis.core.parameters import ParameterLocation

# One customer and one account that every second call is about.
REFERENCE = "openapi_check"
NUMBERS = itertools.count(26291800001191)
SUCCEEDED = set()
# Bodies that succeed with the ids of what is there: sent until the operation has succeeded, so that this does not depend on chance or
# on the speed of the machine.
SUFFICIENT = {
    "POST /customers/{customer_id}": {"first_name": "Asha"},
    "POST /customers/{customer_id}/customer-accounts/{account_id}": {"command": "delete"},
    "POST /customers/{customer_id}/bank-accounts/{account_id}": {"command": "delete"},
    "POST /customers/{customer_id}/customer-accounts/{account_id}/validate": {},
    "POST /customers/{customer_id}/bank-accounts/{account_id}/validate": {},
    "POST /events/{event_id}/replay": {},
    "POST /webhook-endpoints": {"url": "https://hooks.example.com/"},
    "POST /webhook-endpoints/{endpoint_id}": {"payload": "THIN"},
    "POST /webhook-endpoints/{endpoint_id}/rotate-secret": {},
}


@functools.cache
def known():
    """A customer, an account of it, its first event and a webhook endpoint, made when first asked for."""
    # Another number each time: the same details may be validated a few times a day only, deleted or not.
    body = {"ifsc": "AABF0008032", "account_number": f"{next(NUMBERS):015}"}
    account = call(f"/customers/{REFERENCE}/accounts", body)
    # A merchant has 20 endpoints at most, and the calls make some, too.
    endpoints = call("/webhook-endpoints")["list"]
    endpoint = endpoints[0] if endpoints else call("/webhook-endpoints", {"url": "https://hooks.example.com/"})
    # With public keys, which other calls may have taken away.
    call(f"/webhook-endpoints/{endpoint['id']}", {"signature": "v1a"})
    return {
        "customer_id": account["customer_id"],
        "account_id": account["id"],
        "event_id": first_event(),
        "endpoint_id": endpoint["id"],
    }


def first_event():
    """An event is listed once the transactions that write at the same time have ended."""
    deadline = time.monotonic() + 30
    while not (events := call("/events?limit=1")["list"]):
        if time.monotonic() > deadline:
            raise TimeoutError("no event is listed")
        time.sleep(0.05)
    return events[0]["id"]


def call(path, body=None):
    key = os.environ["KHATA_API_KEY"]
    request = urllib.request.Request(
        os.environ["KHATA_API_URL"].rstrip("/") + path,
        data=None if body is None else json.dumps(body).encode(),
        headers={
            "Content-Type": "application/json",
            "Authorization": "Basic " + base64.b64encode(f"{key}:".encode()).decode(),
        },
    )
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.load(answer)


@schemathesis.hook
def map_case(context, case):
    """Names what is there in the calls of an operation whose path is well-formed: until one has succeeded in each, then in every second
    one; by its content, so that a run repeats. Until then a call has a body that succeeds, too."""
    label = case.operation.label
    if label in SUFFICIENT and label not in SUCCEEDED and isinstance(case.body, dict) and not is_negative(case, "BODY"):
        case.body = dict(SUFFICIENT[label])
    if not case.path_parameters or is_negative(case, "PATH"):
        return case
    chance = zlib.crc32(repr((sorted(case.path_parameters.items()), case.body)).encode())
    if chance % 2 or label not in SUCCEEDED:
        case.path_parameters.update(
            {name: value for name, value in known().items() if name in case.path_parameters}
        )
        if isinstance(case.body, dict) and not is_negative(case, "BODY"):
            carry_out(case.body)
    return case


def carry_out(body):
    """Takes out what no schema forbids and this merchant cannot have: a gateway of its own choice, a URL that no endpoint allows, a wait for
    nothing."""
    for name in ("gateway_id", "gateway_reference_id", "webhook_url", "wait_seconds"):
        body.pop(name, None)


def is_negative(case, place):
    return case.meta is not None and case.meta.is_negative_at(ParameterLocation[place])


@schemathesis.hook
def after_call(context, case, response):
    """Notes which operations have succeeded, and when what is known is of no use any more: it was deleted, or validated as often as
    the merchant may in a day."""
    # Only what exists is asked: the first call may be the one that makes it.
    if response.status_code in (404, 429) and known.cache_info().currsize:
        given = case.path_parameters or {}
        spent = given.keys() & {"account_id", "endpoint_id"}
        if spent and all(given[name] == known()[name] for name in given):
            known.cache_clear()
    label = case.operation.label
    if 200 <= response.status_code < 300 and label not in SUCCEEDED:
        SUCCEEDED.add(label)
        with open(os.environ["KHATA_API_REACHED"], "a", encoding="utf-8") as file:
            print(label, file=file)


@schemathesis.hook
def filter_failure(context, failure, case, response):
    """Two things that no schema says make an accepted call no failure: calls without a key may add query parameters, and an empty value means
    that a field is absent, as does an empty list or object in a form or a query, which has no way to write it."""
    if not isinstance(failure, AcceptedNegativeData):
        return True
    if case.path.startswith(("/health/", "/version", "/.well-known/")):
        return "query: violates `additionalProperties`" not in failure.message
    is_form = case.media_type == "application/x-www-form-urlencoded"
    unwritten = ("", None, [], {})
    return not (has_empty(case.body, unwritten if is_form else ("",)) or has_empty(case.query, unwritten))


def has_empty(value, empty):
    if isinstance(value, dict) and value:
        return any(has_empty(member, empty) for member in value.values())
    return value in empty
