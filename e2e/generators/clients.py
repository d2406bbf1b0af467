"""What the scripts that run Python share.

Arguments: the OpenAPI document, a folder for the client, a customer, and ids of accounts, the last of them unknown. From the
environment: KHATA_API_URL, KHATA_API_KEY. Prints one line of JSON: the accounts as the client read them, and the code of the error
for the unknown one.
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path


class Call:
    def __init__(self):
        self.document, self.folder, self.customer, *self.accounts, self.unknown = sys.argv[1:]
        self.url, self.key = os.environ["KHATA_API_URL"], os.environ["KHATA_API_KEY"]
        self.results = {"accounts": []}
        Path(self.folder).mkdir(parents=True, exist_ok=True)
        sys.path.insert(0, self.folder)

    def package(self, name):
        return str(Path(self.folder) / name)

    def read(self, account):
        self.results["accounts"].append(account)

    def refused(self, code):
        self.results["refused"] = code

    def end(self):
        print(json.dumps(self.results, default=str))


def generate(language, folder, *properties):
    """Builds a client with openapi-generator, without pages and tests."""
    build(
        ["openapi-generator-cli", "generate", "--generator-name", language, "--input-spec", sys.argv[1]],
        ["--output", folder, "--additional-properties", ",".join(properties), "--global-property"],
        ["apis,models,supportingFiles,apiDocs=false,modelDocs=false,apiTests=false,modelTests=false"],
        # Half of the time is the compiler's of the Java machine, for a program that runs once.
        JAVA_TOOL_OPTIONS="-XX:TieredStopAtLevel=1 -XX:+UseSerialGC",
    )


def build(*command, **environment):
    """Runs a program, first sought in the interpreter's own folder. Returns what it printed."""
    command = [str(word) for words in command for word in words]
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        [shutil.which(command[0], path=path) or command[0], *command[1:]],
        env={**os.environ, **environment, "PATH": path},
        capture_output=True,
        text=True,
    )
    if done.returncode:
        sys.exit(f"{command[0]}: {done.stdout}\n{done.stderr}")
    return done.stdout
