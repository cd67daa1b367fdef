"""A name server on 127.0.0.1 that knows every name as 127.0.0.1 (RFC 1035), a web server on port 8000 that has nothing, and kiln in
a root where there is nothing else.

Run in a network namespace of its own: names.py ROOT COMMAND... Prints the names that were asked for; ends as the command does.
"""

import http.server
import os
import socket
import struct
import subprocess
import sys
import threading


def answer(query: bytes) -> tuple[str, bytes]:
    """The name that is asked for, and an answer: the address, or that there is none of that type."""
    at, labels = 12, []
    while query[at]:
        labels.append(query[at + 1:at + 1 + query[at]].decode())
        at += query[at] + 1
    question = query[12:at + 5]
    record = b"\xc0\x0c" + struct.pack(">HHIH", 1, 1, 60, 4) + bytes([127, 0, 0, 1])
    known = struct.unpack(">H", query[at + 1:at + 3])[0] == 1
    head = query[:2] + struct.pack(">HHHHH", 0x8180, 1, int(known), 0, 0)
    return ".".join(labels), head + question + (record if known else b"")


def main() -> int:
    """Raises the loopback, answers, runs the command in the root."""
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    asked: set[str] = set()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 53))

        def serve() -> None:
            while True:
                query, whom = server.recvfrom(512)
                name, reply = answer(query)
                asked.add(name)
                server.sendto(reply, whom)

        threading.Thread(target=serve, daemon=True).start()
        web = http.server.ThreadingHTTPServer(("127.0.0.1", 8000), http.server.BaseHTTPRequestHandler)
        threading.Thread(target=web.serve_forever, daemon=True).start()
        code = subprocess.run(sys.argv[2:], check=False, preexec_fn=lambda: os.chroot(sys.argv[1])).returncode
        print("asked:", " ".join(sorted(asked)), flush=True)
        os._exit(code)


main()
