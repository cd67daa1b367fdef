"""Small questions, asked from inside a network namespace: `probe.py dns NAME SERVER`, `tcp HOST PORT`, `get URL`.

Ends with 0 and prints the answer, or with 1 and prints why there is none.
"""

from __future__ import annotations

import http.client
import random
import socket
import ssl
import struct
import sys
import urllib.parse


def dns(name: str, server: str) -> str:
    """Addresses of a name (RFC 1035), asked of one server, once."""
    number = random.randrange(1 << 16)
    question = b"".join(bytes([len(part)]) + part.encode() for part in name.rstrip(".").split(".")) + b"\0"
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as link:
        link.settimeout(2)
        link.connect((server, 53))
        link.send(struct.pack(">HHHHHH", number, 0x0100, 1, 0, 0, 0) + question + struct.pack(">HH", 1, 1))
        answer = link.recv(4096)
    got, flags, _, answers = struct.unpack(">HHHH", answer[:8])
    if got != number or flags & 15 or not answers:
        raise OSError(f"{server}: {name}: code {flags & 15}, {answers} answers")
    return socket.inet_ntoa(answer[-4:]) if answers == 1 else f"{answers} answers"


def get(url: str) -> str:
    """Status and the beginning of a page. Certificates are not looked at: it is about who may ask."""
    parts = urllib.parse.urlsplit(url)
    host, port = parts.hostname or "", parts.port
    if parts.scheme == "https":
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        link: http.client.HTTPConnection = http.client.HTTPSConnection(host, port, timeout=3, context=context)
    else:
        link = http.client.HTTPConnection(host, port, timeout=3)
    link.request("GET", parts.path or "/")
    response = link.getresponse()
    return f"{response.status} {response.read(2000).decode(errors='replace').strip()}"


def tcp(host: str, port: str) -> str:
    """Whether somebody listens."""
    with socket.create_connection((host, int(port)), timeout=2):
        return "open"


if __name__ == "__main__":
    try:
        print({"dns": dns, "get": get, "tcp": tcp}[sys.argv[1]](*sys.argv[2:]))
    except (OSError, http.client.HTTPException, struct.error) as error:
        print(f"{type(error).__name__}: {error}")
        sys.exit(1)
