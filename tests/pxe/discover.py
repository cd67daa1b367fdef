"""Asks by DHCP for a boot file, as UEFI firmware of this MAC address would, out of an interface.

    discover.py INTERFACE MAC
"""

import socket
import struct
import sys


def main(interface: str, mac: str) -> None:
    own = bytes.fromhex(mac.replace(":", ""))
    options = b"\x63\x82\x53\x63" + b"\x35\x01\x01" + b"\x3c\x09PXEClient" + b"\x5d\x02\x00\x07" + b"\xff"
    bootp = struct.pack("!4BIHH16x16s192x", 1, 1, 6, 0, 7, 0, 0x8000, own) + options
    udp = struct.pack("!4H", 68, 67, 8 + len(bootp), 0) + bootp
    head = struct.pack("!2B3H2BH4s4s", 0x45, 0, 20 + len(udp), 0, 0, 64, 17, 0, b"\0" * 4, b"\xff" * 4)
    total = sum(struct.unpack("!10H", head))
    total = (total & 0xFFFF) + (total >> 16)
    head = head[:10] + struct.pack("!H", ~(total + (total >> 16)) & 0xFFFF) + head[12:]
    wire = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
    wire.bind((interface, 0))
    wire.send(b"\xff" * 6 + own + b"\x08\x00" + head + udp)


main(*sys.argv[1:])
