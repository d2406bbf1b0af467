"""Juspay's own client for Python (PyPI `juspay`) against Khata: a customer's life, as a merchant's backend would lead it.

KHATA_API_URL and KHATA_API_KEY say where and as whom. Prints one JSON line of what the client gave back; ends with 1 where
that is not what Juspay's documents promise. (A file named juspay.py would be imported in the client's place.)
"""

import json
import os
import sys
import uuid

import juspay
import requests
from juspay import util
from juspay.JuspayException import AuthenticationException, InvalidRequestException

FIELDS = (
    "id",
    "object",
    "object_reference_id",
    "mobile_country_code",
    "mobile_number",
    "email_address",
    "first_name",
    "last_name",
    "date_created",
    "last_updated",
)


class AnotherBaseUrl:
    """`requests` as the client calls it. The client's base URL is a literal in util.request; this is the one thing changed."""

    def __init__(self, base_url):
        self.base_url = base_url

    def get(self, url, **arguments):
        return requests.get(self.moved(url), timeout=20, **arguments)

    def post(self, url, **arguments):
        return requests.post(self.moved(url), timeout=20, **arguments)

    def moved(self, url):
        juspays = "https://sandbox.juspay.in/"
        assert url.startswith(juspays), url
        return self.base_url + "/" + url[len(juspays) :]


def seen(customer):
    return {name: getattr(customer, name) for name in FIELDS}


def refusal(kind, call):
    """What the client raises, which has to be of this kind."""
    try:
        answered = call()
    except kind as raised:
        return {"http_status": raised.http_status, "body": json.loads(raised.json_body)}
    raise AssertionError(f"answered {seen(answered)} instead of raising {kind.__name__}")


def check(is_so, what, got):
    if not is_so:
        raise AssertionError(f"{what}: {got}")


def lead_a_life(reference):
    details = {
        "mobile_number": "9876543210",
        "mobile_country_code": "91",
        "email_address": "asha.rao+khata@example.com",
        "first_name": "Asha",
        "last_name": "Rao",
    }
    customers = juspay.Customers
    # Integrations of Juspay's API send it on both calls; Khata issues no such tokens.
    option = {"options.get_client_auth_token": True}
    created = seen(customers.create(object_reference_id=reference, **details, **option))
    check(created["id"].startswith("cst_"), "id", created)
    check(created["object"] == "customer", "object", created)
    check(created["date_created"] == created["last_updated"], "times", created)
    expected = {**created, "object_reference_id": reference, **details}
    check(created == expected, "created", created)

    # The client sends the id in the query and in the body as well.
    check(seen(customers.get(id=created["id"])) == created, "got by id", created)
    check(seen(customers.get(id=reference)) == created, "got by reference", created)
    check(seen(customers.get(id=reference, **option)) == created, "got with the option", created)

    changes = {"mobile_number": "9123456780", "first_name": "Aasha"}
    updated = seen(customers.update(id=created["id"], **changes))
    check(updated == {**created, **changes, "last_updated": updated["last_updated"]}, "updated", updated)
    check(updated["last_updated"] >= created["last_updated"], "last_updated", updated)
    check(seen(customers.get(id=reference)) == updated, "got after the update", updated)

    duplicate = refusal(InvalidRequestException, lambda: customers.create(object_reference_id=reference, **details))
    check(duplicate["http_status"] == 400, "duplicate", duplicate)
    check(duplicate["body"]["status"] == "invalid_request_error", "duplicate", duplicate)
    check(duplicate["body"]["error_code"] == "unique", "duplicate", duplicate)
    check(duplicate["body"]["error_info"]["code"] == "ALREADY_EXISTS", "duplicate", duplicate)

    unknown = refusal(InvalidRequestException, lambda: customers.get(id=reference + "_unknown"))
    check(unknown["http_status"] == 404, "unknown", unknown)
    check(unknown["body"]["error_code"] == "object_not_found", "unknown", unknown)

    juspay.api_key += "x"
    stranger = refusal(AuthenticationException, lambda: customers.get(id=reference))
    check(stranger["http_status"] == 401, "wrong key", stranger)
    check(stranger["body"]["error_code"] == "access_denied", "wrong key", stranger)
    return {"created": created, "updated": updated, "duplicate": duplicate, "unknown": unknown, "wrong_key": stranger}


def main():
    util.requests = AnotherBaseUrl(os.environ["KHATA_API_URL"].rstrip("/"))
    juspay.environment = "sandbox"
    juspay.merchant_id = "khata"
    juspay.api_key = os.environ["KHATA_API_KEY"]
    print(json.dumps(lead_a_life(f"python_{uuid.uuid4().hex}")))


if __name__ == "__main__":
    try:
        main()
    except Exception as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        sys.exit(1)
