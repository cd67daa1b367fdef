# shellcheck shell=sh disable=SC2034,SC2154  # variables are shared with init
# Helpers of the stand-in's /init. busybox ash; everything here is read by PID 1.

# To the screen and to the serial line, whatever "console=" says.
say() {
  for tty in /dev/tty0 /dev/ttyS0; do
    [ ! -c "$tty" ] || printf '%s\r\n' "$*" >"$tty" 2>/dev/null
  done
  return 0
}

# A JSON string without its quotes.
json() { printf '%s' "$1" | tr '\n\t\r' '   ' | tr -d '\000-\037' | sed 's/\\/\\\\/g; s/"/\\"/g' | cut -c1-600; }

# The value of the last NAME=… on the kernel's command line, or nothing.
karg() {
  want=$1 value=
  for word in $cmdline; do
    case $word in "$want"=*) value=${word#*=} ;; esac
  done
  printf '%s' "$value"
}

# Whether NAME stands on the kernel's command line, with or without a value.
has_karg() {
  for word in $cmdline; do
    case $word in "$1"|"$1"=*) return 0 ;; esac
  done
  return 1
}

# Loads what the machine's devices ask for, again until no new device shows up.
load_modules() {
  for _ in 1 2 3 4; do
    aliases=$(cat /sys/bus/*/devices/*/modalias 2>/dev/null | grep -E '^(pci|usb|virtio|scsi):' | sort -u)
    [ "$aliases" != "$seen" ] || break
    seen=$aliases
    echo "$aliases" | xargs -r modprobe -a -b -q 2>/dev/null
    usleep 200000
  done
  return 0
}

hex() { dd if="$1" bs=1 skip="$2" count="$3" 2>/dev/null | hexdump -v -e '1/1 "%02x"'; }

# The label udev would give DEVICE, nothing if it is no ISO 9660. As libblkid does it: the primary descriptor's volume id
# (ECMA-119 8.4.8, at 32768 + 40), unless the Joliet one is not a beginning of it, then Joliet's. A writer that changes one
# and forgets the other is found out here.
iso_label() {
  [ "$(hex "$1" 32769 5)" = 4344303031 ] || return 0
  primary=$(hex "$1" 32808 32 | sed 's/\(20\|00\)*$//; s/^\(..\)*$/&/')
  label_hex=$primary
  at=34816
  while [ "$at" -lt 65536 ]; do
    kind=$(hex "$1" "$at" 1)
    case $kind in
      02)
        case $(hex "$1" $((at + 88)) 3) in
          252f40|252f43|252f45)
            joliet=$(hex "$1" $((at + 40)) 32 | sed 's/\(....\)/\1 /g; s/\( 0020\| 0000\)* *$//; s/\b00\(..\) */\1/g; s/ //g')
            case $primary in "$joliet"*) ;; *) label_hex=$joliet ;; esac
            break
            ;;
        esac
        ;;
      00|01) ;;
      *) break ;;
    esac
    at=$((at + 2048))
  done
  printf '%b' "$(echo "$label_hex" | sed 's/\(..\)/\\x\1/g')"
}

block_devices() {
  for path in /sys/class/block/*; do
    name=${path##*/}
    case $name in
      loop*|ram*|zram*|fd*) ;;
      *) [ "$(cat "$path/size")" = 0 ] || echo "/dev/$name" ;;
    esac
  done
}

# All devices that carry LABEL; whole disks before their partitions, as anaconda-diskroot prefers them since EL8.
devices_with_label() {
  whole='' parts=''
  for device in $(block_devices); do
    [ "$(iso_label "$device")" = "$1" ] || continue
    if [ -e "/sys/class/block/${device##*/}/partition" ]; then parts="$parts $device"; else whole="$whole $device"; fi
  done
  echo "$whole$parts" | sed 's/^ //'
}

# hd:LABEL=X[:PATH], hd:/dev/X[:PATH] → sets spec_label, spec_device, spec_path. Labels come udev-escaped (\x20).
parse_spec() {
  spec_label='' spec_device='' spec_path=''
  rest=${1#hd:}
  case $1 in hd:*) ;; *) return 1 ;; esac
  case $rest in *:*) spec_path=${rest#*:} ;; esac
  rest=${rest%%:*}
  case $rest in
    LABEL=*) spec_label=$(printf '%b' "${rest#LABEL=}") ;;
    /dev/*) spec_device=$rest ;;
    *) return 1 ;;
  esac
}

# Waits up to $2 seconds for a device with label $1; sets matches.
wait_label() {
  tries=$(($2 * 2))
  while :; do
    load_modules
    matches=$(devices_with_label "$1")
    [ -z "$matches" ] || return 0
    tries=$((tries - 1))
    [ "$tries" -gt 0 ] || return 1
    usleep 500000
  done
}

# The device of the virtio port on which somebody waits for a verdict.
verdict_port() {
  for port in /sys/class/virtio-ports/*; do
    [ "$(cat "$port/name" 2>/dev/null)" = kiln.verdict ] && echo "/dev/${port##*/}" && return 0
  done
  return 1
}

# Makes the squashfs at /run/install/runtime the root, with a layer in memory over it, and starts its installer as PID 1. What is
# below /run, the medium above all, stays where it is.
enter_stage2() {
  modprobe -q overlay
  mkdir -p /run/install/layer /sysroot
  mount -t tmpfs -o mode=755 layer /run/install/layer || return 1
  mkdir -p /run/install/layer/upper /run/install/layer/work
  mount -t overlay -o lowerdir=/run/install/runtime,upperdir=/run/install/layer/upper,workdir=/run/install/layer/work root /sysroot || return 1
  mkdir -p /sysroot/dev /sysroot/proc /sysroot/sys /sysroot/run
  for one in dev proc sys run; do mount --move "/$one" "/sysroot/$one" || return 1; done
  exec switch_root /sysroot /kiln-standin/stage2
}

# The name of the network card that BOOTIF= names, as dracut reads it: with or without a hardware type in front, - or : between.
boot_card() {
  mac=$(karg BOOTIF | tr A-F- a-f:)
  case $mac in ??:??:??:??:??:??:??) mac=${mac#??:} ;; esac
  for card in /sys/class/net/*; do
    [ "$(cat "$card/address" 2>/dev/null)" = "$mac" ] && echo "${card##*/}" && return 0
  done
  return 1
}

# Installs from a tree on the network, as far as the stand-in does: stage 2 and kickstart by HTTP (anaconda-netroot.sh,
# fetch-kickstart-net.sh), then what the kickstart's own %pre fetches. Ends with a verdict.
from_network() {
  stage=network
  tries=40
  until card=$(boot_card); do
    load_modules
    tries=$((tries - 1))
    [ "$tries" -gt 0 ] || fail "no network card has the address of BOOTIF=$(karg BOOTIF)"
    usleep 500000
  done
  ip link set lo up
  ip link set "$card" up
  udhcpc -i "$card" -n -q -t 20 -T 2 -s /udhcpc || fail "no address by DHCP on $card"
  say "  network: $card has $(ip -4 -o addr show "$card" | sed 's/.*inet \([0-9.]*\).*/\1/')"
  device=$card label=$stage2
  mkdir -p /run/install/repo /run/install/runtime /tmp/kiln
  stage=stage2
  wget -q -O /tmp/treeinfo "$stage2/.treeinfo" || fail "no $stage2/.treeinfo"
  runtime=$(sed -n '/^\[stage2\]/,/^\[/s/^mainimage *= *//p' /tmp/treeinfo | head -n 1)
  wget -q -O /run/install/stage2.img "$stage2/$runtime" || fail "no $stage2/$runtime"
  mount -t squashfs -o ro,loop /run/install/stage2.img /run/install/runtime || fail "cannot mount $runtime"
  release=$(sed 's/^kiln-standin //' /run/install/runtime/.kiln-standin)
  stage=kickstart
  wget -q -O /run/install/ks.cfg "$ks" || fail "inst.ks=$ks: not to be had"
  say "  kickstart: $ks, $(wc -l </run/install/ks.cfg) lines"
  grep -q "^url --url=$stage2\$" /run/install/ks.cfg || fail "ks.cfg does not take packages from $stage2"
  # What the kickstart's %pre does first: its own function, with its own digests.
  stage=payload
  media=/tmp/kiln-medium
  mkdir -p "$media/kiln"
  {
    echo "media=$media"
    sed -n '/^kiln_fetch() {/,/^}/p' /run/install/ks.cfg
    sed -n 's/ &&$//; /^ *kiln_fetch kiln\//p' /run/install/ks.cfg
  } >/tmp/fetch.sh
  sh -e /tmp/fetch.sh || fail "what %pre fetches is not to be had, or not what the kickstart says: $(tail -n 3 /tmp/init.log)"
  chmod 755 "$media/kiln/kiln"
  files=$(grep -c '"sha256"' "$media/kiln/manifest.json")
  stage=identity
  "$media/kiln/kiln" node prepare --media "$media" --out /tmp/kiln --skip-verify --skip-preflight --dry-run --json >/tmp/prepare.json 2>/tmp/prepare.err
  cat /tmp/prepare.err >/dev/ttyS0 2>/dev/null
  node=$(cat /tmp/kiln/node 2>/dev/null)
  [ -n "$node" ] || fail "kiln node prepare named no node: $(head -n 3 /tmp/prepare.err)"
  wget -q -O /dev/null --post-data="stand-in: $node" "${ks%ks.cfg}report?stage=prepared"
  stage=complete
  verdict pass "node $node; kickstart and payload came by network"
}
