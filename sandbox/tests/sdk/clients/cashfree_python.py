"""Cashfree's own client for Python (PyPI `cashfree_pg`) against the sandbox: its check of a call-back's signature, which is
the same for all of Cashfree's products. Cashfree's clients for Secure ID (npm `cashfree-verification`, PyPI
`cashfree_verification`) have no call for bank accounts or UPI penny drops.
"""

from cashfree_pg.api_client import Cashfree

from seen import SANDBOX, CallBacks, tell

import requests

CREDENTIALS = {"x-client-id": "sandbox_client", "x-client-secret": "sandbox_secret"}


def verdict(secret, signature, body, timestamp):
    cashfree = Cashfree(XEnvironment=Cashfree.SANDBOX, XClientId="sandbox_client", XClientSecret=secret)
    try:
        cashfree.PGVerifyWebhookSignature(signature, body, timestamp)
    except KeyError as missing:
        # It believed the signature and went on to read the payment gateway's `type`, which Secure ID calls `event_type`.
        return f"believed, without {missing.args[0]}"
    except Exception as refused:
        return str(refused)
    return "believed"


def live():
    call_backs = CallBacks("CASHFREE")
    account = {"bank_account": "501012345678", "ifsc": "HDFC0000001", "user_id": "sdk_1"}
    url = f"{SANDBOX}/cashfree/verification/bank-account/async"
    requests.post(url, json=account, headers=CREDENTIALS, timeout=20).raise_for_status()
    headers, body = call_backs.next()
    signature, timestamp = headers["x-webhook-signature"], headers["x-webhook-timestamp"]
    return {
        "event": body,
        "as_it_came": verdict("sandbox_secret", signature, body, timestamp),
        "changed": verdict("sandbox_secret", signature, body + " ", timestamp),
        "later": verdict("sandbox_secret", signature, body, f"{timestamp}0"),
        "other_secret": verdict("another", signature, body, timestamp),
    }


tell(live)
