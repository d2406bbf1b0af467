"""Builds a Go client with openapi-generator and reads accounts with it, as clients.py and go_client.go say."""

import shutil
from pathlib import Path

from clients import Call, build, generate

# As Debian's packages of Go libraries are used: without the module proxy, which a test does not reach.
LIBRARIES = "/usr/share/gocode"

call = Call()
sources = Path(call.folder).resolve() / "src"
generate("go", sources / "khata", "packageName=khata", "withGoMod=false", "enumClassPrefix=true")
reader = sources / "reader"
reader.mkdir()
shutil.copy(Path(__file__).with_name("go_client.go"), reader / "main.go")
print(
    build(
        ["go", "run", "reader", call.customer, *call.accounts, call.unknown],
        GO111MODULE="off",
        GOPATH=f"{sources.parent}:{LIBRARIES}",
        GOCACHE=str(sources.parent / "cache"),
        GOFLAGS="",
    )
)
