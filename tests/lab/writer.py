"""A client that never stops writing through the API's address, and writes down what was acknowledged and when.

A program of its own, since it runs in the client's network namespace. Each line of its output is one attempt:
`{"at": seconds, "name": …, "ok": …, "error": …}`, by the clock that all processes of a machine share.
"""

from __future__ import annotations

import argparse
import http.client
import json
import socket
import ssl
import sys
import time


class Api:
    """One connection at a time, made anew after any fault, as a client does that does not wait for TCP to give up."""

    def __init__(self, host: str, context: ssl.SSLContext, connect: float, answer: float) -> None:
        self.host, self.context, self.connect, self.answer = host, context, connect, answer
        self.connection: http.client.HTTPSConnection | None = None

    def send(self, method: str, path: str, body: object = None) -> tuple[int, bytes]:
        """A request and its answer."""
        try:
            if self.connection is None:
                self.connection = http.client.HTTPSConnection(self.host, 6443, context=self.context, timeout=self.connect)
                self.connection.connect()
                self.connection.sock.settimeout(self.answer)
            text = None if body is None else json.dumps(body)
            self.connection.request(method, path, text, {"Content-Type": "application/json"})
            response = self.connection.getresponse()
            return response.status, response.read()
        except (OSError, http.client.HTTPException, socket.timeout):
            if self.connection is not None:
                self.connection.close()
            self.connection = None
            raise


def context(folder: str, operator: str) -> ssl.SSLContext:
    """TLS as an operator of the cluster."""
    made = ssl.create_default_context(cafile=f"{folder}/ca/kubernetes/cert.pem")
    made.load_cert_chain(f"{folder}/operators/{operator}/cert.pem", f"{folder}/operators/{operator}/key.pem")
    return made


def main() -> None:
    """Writes until it is killed."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--host", required=True)
    parser.add_argument("--pki", required=True)
    parser.add_argument("--operator", required=True)
    parser.add_argument("--label", required=True)
    parser.add_argument("--every", type=float, default=0.1)
    options = parser.parse_args()
    api = Api(options.host, context(options.pki, options.operator), 1.0, 3.0)
    path = "/api/v1/namespaces/default/configmaps"
    number = 0
    while True:
        name = f"{options.label}-{number:06}"
        body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "labels": {"lab": options.label}},
                "data": {"written": name}}
        record: dict[str, object] = {"name": name, "ok": False}
        try:
            status, text = api.send("POST", path, body)
            record["ok"] = status in (200, 201)
            if not record["ok"]:
                record["error"] = f"{status}: {text[:200].decode(errors='replace')}"
        except (OSError, http.client.HTTPException) as error:
            record["error"] = f"{type(error).__name__}: {error}"
        record["at"] = time.monotonic()
        # Every attempt is another object: one that was not acknowledged may exist or not, and is not asked for.
        number += 1
        sys.stdout.write(json.dumps(record) + "\n")
        sys.stdout.flush()
        time.sleep(options.every)


if __name__ == "__main__":
    main()
