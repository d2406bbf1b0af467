"""Razorpay's own client for Python (PyPI `razorpay`) against the sandbox. It has the look-up of a UPI address, payments by
id and the check of a call-back's signature. It has no method for account validation: that goes through the same transport,
which all of its methods use and which tells the error classes apart.

(A file named razorpay.py would be imported in the client's place.)
"""

import razorpay
from razorpay.errors import BadRequestError, GatewayError, ServerError, SignatureVerificationError

from seen import SANDBOX, CallBacks, behave, raised, tell

VALIDATIONS = "/v1/fund_accounts/validations"


def client(secret="sandbox_secret"):
    return razorpay.Client(auth=("rzp_test_sandbox", secret), base_url=f"{SANDBOX}/razorpay")


def validation(number):
    return {
        "source_account_number": "7878780080316316",
        "validation_type": "pennydrop",
        "reference_id": f"sdk_{number}",
        "fund_account": {
            "account_type": "bank_account",
            "bank_account": {"name": "Asha Rao", "ifsc": "HDFC0000001", "account_number": number},
            "contact": {"name": "Asha Rao"},
        },
    }


def live():
    ours = client()
    look_up = lambda vpa: ours.payment.validateVpa({"vpa": vpa})
    seen = {
        "valid": look_up("asha@okhdfcbank"),
        "invalid": look_up("asha.99009931@okhdfcbank"),
        "malformed": raised(BadRequestError, lambda: look_up("asha")),
        "technical": raised(GatewayError, lambda: look_up("asha.99009942@okhdfcbank")),
        "stranger": raised(BadRequestError, lambda: client("guess").payment.validateVpa({"vpa": "asha@upi"})),
        "no_payment": raised(BadRequestError, lambda: ours.payment.fetch("pay_00000000000000")),
    }
    call_backs = CallBacks("RAZORPAY")
    seen["created"] = ours.post(VALIDATIONS, validation("501012345678"))
    headers, body = call_backs.next()
    seen["looked_up"] = ours.get(f"{VALIDATIONS}/{seen['created']['id']}", {})
    signature, secret = headers["x-razorpay-signature"], "sandbox_webhook_secret"
    seen["signed"] = ours.utility.verify_webhook_signature(body, signature, secret)
    seen["event"] = body
    verify = ours.utility.verify_webhook_signature
    seen["changed"] = raised(SignatureVerificationError, lambda: verify(body + " ", signature, secret))
    seen["other_secret"] = raised(SignatureVerificationError, lambda: verify(body, signature, "another"))
    behave("RAZORPAY", error_rate=1)
    seen["down"] = raised(ServerError, lambda: look_up("asha@upi"))
    return seen


tell(live)
