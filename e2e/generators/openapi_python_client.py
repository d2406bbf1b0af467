"""Builds a client with openapi-python-client and reads accounts with it, as clients.py says."""

import base64

from clients import Call, build

call = Call()
build(
    ["openapi-python-client", "generate", "--fail-on-warning", "--path", call.document],
    ["--output-path", call.package("khata_attrs"), "--meta", "none"],
)

from khata_attrs import AuthenticatedClient  # noqa: E402
from khata_attrs.api.customer_accounts import get_account  # noqa: E402
from khata_attrs.models import CustomerAccount, Error  # noqa: E402

token = base64.b64encode(f"{call.key}:".encode()).decode()
client = AuthenticatedClient(base_url=call.url, token=token, prefix="Basic")
for account in call.accounts:
    found = get_account.sync(call.customer, account, client=client)
    assert isinstance(found, CustomerAccount), found
    call.read(found.to_dict())
unknown = get_account.sync(call.customer, call.unknown, client=client)
assert isinstance(unknown, Error), unknown
call.refused(unknown.error_info.code.value)
call.end()
