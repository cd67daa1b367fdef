# shellcheck shell=bash disable=SC2154  # make.sh sets here, cache, work and the like
# Stage 2 of the media that can be installed from: a Debian root, made by mmdebstrap once and kept in the cache, with the
# installer beside it. The same squashfs is what the installer lays down on the disk.

pykickstart=3.78

# The machine's own package sources of Debian: the kernel on the medium comes from them too.
debian_sources() {
  local path
  # shellcheck source=/dev/null
  suite=$(. /etc/os-release && echo "${VERSION_CODENAME-}")
  for path in /etc/apt/sources.list.d/debian.sources /etc/apt/sources.list; do
    if [ -n "$suite" ] && grep -qsw "$suite" "$path"; then sources=$path; return; fi
  done
  die "no package sources of Debian ${suite:-(which?)} in /etc/apt: the stand-in's installer is made from them" 4
}

need_installer_tools() {
  local tool missing=()
  for tool in mmdebstrap pip; do
    case $tool in
      pip) [ -x "${KILN_CACHE:-$HOME/.cache/kiln}/venv/bin/pip" ] || python3 -c 'import ensurepip' 2>/dev/null || missing+=(python3-venv) ;;
      *) command -v "$tool" >/dev/null || missing+=("$tool") ;;
    esac
  done
  [ ${#missing[@]} -eq 0 ] || die "tools are missing; apt-get install ${missing[*]}" 3
}

# Debian packages of root/packages.list, each once.
root_packages() { awk '!/^#/ { for (i = 2; i <= NF; i++) if ($i != "-") print $i }' "$here/root/packages.list" | sort -u; }

# What the root depends on: its scripts, and the versions of its packages.
root_key() {
  local packages
  mapfile -t packages < <(root_packages)
  {
    find "$here/root" "$here/root.sh" -type f -print0 | sort -z | xargs -0 cat
    package_list
    apt-cache policy "${packages[@]}" | awk '/^[^ ]/ { name = $1 } $1 == "Candidate:" { print name, $2 }'
  } | sha256sum | cut -c1-16
}

# Sets $root_image, a squashfs of the Debian root.
make_root() {
  local packages new tar
  debian_sources
  root_image=$cache/root-$(root_key).squashfs
  [ ! -e "$root_image" ] || return 0
  say "making the Debian root of the installer (once; two to four minutes)"
  mapfile -t packages < <(root_packages)
  tar=$work/root.tar new=$work/root.squashfs
  local start=$SECONDS exclude=()
  for folder in man doc locale info gnome help lintian; do exclude+=("--dpkgopt=path-exclude=/usr/share/$folder/*"); done
  # shellcheck disable=SC2016  # mmdebstrap's shell expands it
  standin_files=$here/root/files standin_debian=$debian \
    mmdebstrap --variant=minbase --include="$(IFS=,; echo "${packages[*]}")" --aptopt='Acquire::Languages "none"' "${exclude[@]}" \
    --dpkgopt=force-unsafe-io --customize-hook="$here"'/root/customize.sh "$1"' --skip=cleanup/reproducible \
    "$suite" "$tar" "$sources" >"$work/mmdebstrap.log" 2>&1 ||
    die "mmdebstrap failed: $(tail -n 5 "$work/mmdebstrap.log")" 3
  say "  packages: $((SECONDS - start)) s"
  start=$SECONDS
  # Owners and modes come from the archive, so that none of this needs root. Before 4.6 mksquashfs takes no pseudo files with -tar.
  mksquashfs - "$new" -tar -quiet -no-progress -comp zstd -Xcompression-level 9 -b 256K -no-exports \
    -root-mode 755 -root-uid 0 -root-gid 0 <"$tar" >"$work/mksquashfs.log" 2>&1 || die "mksquashfs failed: $(tail -n 5 "$work/mksquashfs.log")" 3
  say "  squashfs: $((SECONDS - start)) s, $(($(stat -c %s "$new") / 1048576)) MiB"
  rm -f "$tar"
  mv "$new" "$root_image"
}

# pykickstart, as the installer reads kickstart files with it; kept unpacked in the cache.
fetch_pykickstart() {
  ks_lib=$cache/pykickstart-$pykickstart
  [ ! -d "$ks_lib" ] || return 0
  say "fetching pykickstart $pykickstart"
  local venv=${KILN_CACHE:-$HOME/.cache/kiln}/venv
  [ -x "$venv/bin/pip" ] || python3 -m venv "$venv"
  "$venv/bin/pip" install --quiet --disable-pip-version-check --no-deps --no-compile --target "$work/pykickstart" \
    "pykickstart==$pykickstart" >"$work/pip.log" 2>&1 || die "pip install pykickstart: $(tail -n 2 "$work/pip.log")" 4
  mv -T "$work/pykickstart" "$ks_lib" 2>/dev/null || [ -d "$ks_lib" ] || die "cannot write $ks_lib" 5
}

# Stage 2 with an installer: the root, and the folder /kiln-standin appended to it.
make_installer_stage2() {
  local layout=$1 out=$2 extra=$work/extra
  make_root
  fetch_pykickstart
  mkdir -p "$extra/kiln-standin/lib"
  cp -r "$ks_lib/pykickstart" "$extra/kiln-standin/lib/"
  find "$extra" -name __pycache__ -prune -exec rm -rf {} +
  # pykickstart imports requests for kickstarts from the network, which the stand-in does not read; importing it takes seconds.
  mkdir "$extra/kiln-standin/installer" "$extra/kiln-standin/lib/requests"
  : >"$extra/kiln-standin/lib/requests/__init__.py"
  printf 'SSLError = RequestException = OSError\n' >"$extra/kiln-standin/lib/requests/exceptions.py"
  cp "$here"/installer/*.py "$extra/kiln-standin/installer/"
  install -m 755 "$here/installer/stage2" "$extra/kiln-standin/stage2"
  install -m 755 "$here/installer/udhcpc" "$extra/kiln-standin/udhcpc"
  cp "$here/root/packages.list" "$extra/kiln-standin/packages.list"
  # Compiling in a guest without KVM takes half a minute; the checked-hash form does not look at dates.
  /usr/bin/python3 -m compileall -q --invalidation-mode unchecked-hash "$extra/kiln-standin/lib" "$extra/kiln-standin/installer"
  echo "kiln-standin $layout installer" >"$extra/.kiln-standin"
  find "$extra" -exec touch -h -d "@$SOURCE_DATE_EPOCH" {} +
  cp --reflink=auto "$root_image" "$out"
  mksquashfs "$extra" "$out" -quiet -no-progress -all-root -no-recovery >/dev/null
}
