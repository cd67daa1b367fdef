"""A network card whose ROM does not say that it is iPXE, as vendors' do not: frames go between QEMU and a tap device, and what iPXE
says of itself by DHCP (options 77 and 175) is taken out on the way.

    plain_rom.py TAP QEMU-SOCKET OWN-SOCKET
"""

import fcntl
import os
import select
import socket
import struct
import sys

TUNSETIFF, IFF_TAP, IFF_NO_PI = 0x400454CA, 2, 0x1000
USER_CLASS, IPXE = 77, 175
ETHERNET, UDP_HEADER, OPTIONS = 14, 8, 240


def without_ipxe(frame: bytes) -> bytes:
    """The frame; a DHCP request without these options, and as long as it was."""
    if len(frame) < ETHERNET + 20 or frame[12:14] != b"\x08\x00" or frame[23] != 17:
        return frame
    udp = ETHERNET + (frame[ETHERNET] & 15) * 4
    start = udp + UDP_HEADER + OPTIONS
    end = udp + int.from_bytes(frame[udp + 4 : udp + 6], "big")
    if frame[udp + 2 : udp + 4] != b"\x00\x43" or end > len(frame) or start > end:
        return frame
    kept, at = bytearray(), start
    while at < end and frame[at] != 255:
        length = 1 if frame[at] == 0 else 2 + frame[at + 1]
        if frame[at] not in (USER_CLASS, IPXE):
            kept += frame[at : at + length]
        at += length
    kept = (kept + b"\xff").ljust(end - start, b"\0")
    # No checksum is a valid one (RFC 768).
    return frame[: udp + 6] + b"\0\0" + frame[udp + 8 : start] + bytes(kept) + frame[end:]


def main(tap: str, qemu: str, own: str) -> None:
    device = os.open("/dev/net/tun", os.O_RDWR)
    fcntl.ioctl(device, TUNSETIFF, struct.pack("16sH22x", tap.encode(), IFF_TAP | IFF_NO_PI))
    wire = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    wire.bind(own)
    while True:
        for ready in select.select([device, wire], [], [])[0]:
            if ready is wire:
                os.write(device, without_ipxe(wire.recv(65536)))
                continue
            frame = os.read(device, 65536)
            try:
                wire.sendto(frame, qemu)
            except OSError:
                pass  # The machine is not there yet, or no more.


main(*sys.argv[1:])
