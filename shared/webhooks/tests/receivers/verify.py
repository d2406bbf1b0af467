"""The published library for Python: reads a JSON list of requests, and prints a list that says which it accepts."""

import json
import sys

from standardwebhooks import Webhook, WebhookVerificationError


def accepts(request):
    try:
        Webhook(request["secret"]).verify(request["body"].encode(), request["headers"])
        return True
    except WebhookVerificationError:
        return False


print(json.dumps([accepts(request) for request in json.load(sys.stdin)]))
