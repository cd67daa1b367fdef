#!/usr/bin/env python3
"""Puts constants where genisoimage and isohybrid leave the clock and random numbers, so that EL7 stand-ins are reproducible.

settle.py dates ISO EPOCH   all dates of ECMA-119 (8.4.26, 9.1.5) and Rock Ridge TF entries (RRIP 4.1.6)
settle.py guids ISO         disk and partition GUIDs of both GPTs, and their checksums (UEFI 5.3)
"""
import struct
import sys
import time
import zlib

SECTOR = 2048


def dates(f, epoch):
    t = time.gmtime(epoch)
    short = bytes([t.tm_year - 1900, t.tm_mon, t.tm_mday, t.tm_hour, t.tm_min, t.tm_sec, 0])
    long = time.strftime("%Y%m%d%H%M%S00", t).encode() + b"\0"
    at = 16 * SECTOR
    while True:
        f.seek(at)
        desc = bytearray(f.read(SECTOR))
        if desc[1:6] != b"CD001" or desc[0] == 255:
            break
        if desc[0] in (1, 2):
            for off in (813, 830):  # creation, modification
                desc[off:off + 17] = long
            for off in (847, 864):  # expiration, effective: not given
                desc[off:off + 17] = b"0" * 16 + b"\0"
            desc[174:181] = short
            f.seek(at)
            f.write(desc)
            lba, = struct.unpack_from("<I", desc, 158)
            size, = struct.unpack_from("<I", desc, 166)
            directory(f, lba, size, short, set())
        at += SECTOR


def directory(f, lba, size, short, seen):
    if lba in seen:
        return
    seen.add(lba)
    f.seek(lba * SECTOR)
    data = bytearray(f.read(size))
    subs, areas = [], []
    at = 0
    while at < size:
        n = data[at]
        if n == 0:
            at = (at // SECTOR + 1) * SECTOR
            continue
        data[at + 18:at + 25] = short
        name = data[at + 32]
        use = at + 33 + name + (1 - name % 2)
        areas += susp(data, use, at + n, short)
        if data[at + 25] & 2 and not (name == 1 and data[at + 33] in (0, 1)):
            subs.append(struct.unpack_from("<I", data, at + 2) + struct.unpack_from("<I", data, at + 10))
        at += n
    f.seek(lba * SECTOR)
    f.write(data)
    for block, off, length in areas:
        f.seek(block * SECTOR + off)
        area = bytearray(f.read(length))
        areas += susp(area, 0, length, short)
        f.seek(block * SECTOR + off)
        f.write(area)
    for sub in subs:
        directory(f, *sub, short, seen)


def susp(data, at, end, short):
    """Overwrites the TF entries of one system use area; returns the continuation areas it names."""
    more = []
    while at + 4 <= end and data[at + 2] >= 4:
        sig, n = bytes(data[at:at + 2]), data[at + 2]
        if sig == b"TF" and not data[at + 4] & 0x80:
            for off in range(at + 5, at + n - 6, 7):
                data[off:off + 7] = short
        if sig == b"CE":
            more.append((struct.unpack_from("<I", data, at + 4)[0], struct.unpack_from("<I", data, at + 12)[0],
                         struct.unpack_from("<I", data, at + 20)[0]))
        at += n
    return more


def guids(f):
    f.seek(0, 2)
    last = f.tell() // 512 - 1
    for lba in (1, last):
        f.seek(lba * 512)
        head = bytearray(f.read(512))
        if head[:8] != b"EFI PART":
            sys.exit(f"settle.py: no GPT at sector {lba}")
        size, = struct.unpack_from("<I", head, 12)
        entries, count, width = struct.unpack_from("<QII", head, 72)
        f.seek(entries * 512)
        table = bytearray(f.read(count * width))
        for i in range(count):
            if any(table[i * width:i * width + 16]):
                table[i * width + 16:i * width + 32] = b"kiln-standin-p" + struct.pack("<H", i + 1)
        f.seek(entries * 512)
        f.write(table)
        head[56:72] = b"kiln-standin-gpt"
        struct.pack_into("<I", head, 88, zlib.crc32(table))
        struct.pack_into("<I", head, 16, 0)
        struct.pack_into("<I", head, 16, zlib.crc32(head[:size]))
        f.seek(lba * 512)
        f.write(head)


with open(sys.argv[2], "r+b") as image:
    if sys.argv[1] == "dates":
        dates(image, int(sys.argv[3]))
    else:
        guids(image)
