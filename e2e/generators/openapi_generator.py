"""Builds a Python client with openapi-generator and reads accounts with it, as clients.py says."""

from clients import Call, generate

call = Call()
generate("python", call.folder, "packageName=khata_pydantic")

import khata_pydantic  # noqa: E402
from khata_pydantic.exceptions import NotFoundException  # noqa: E402

settings = khata_pydantic.Configuration(host=call.url, username=call.key, password="")
with khata_pydantic.ApiClient(settings) as client:
    api = khata_pydantic.CustomerAccountsApi(client)
    for account in call.accounts:
        call.read(api.get_account(call.customer, account).to_dict())
    try:
        api.get_account(call.customer, call.unknown)
    except NotFoundException as error:
        call.refused(error.data.error_info.code.value)
call.end()
