#!/bin/sh
# Makes small packages with rpmbuild, the same bytes every time: make.sh OUT. Their names and needs are those of the tests that read
# them: app needs lib (by version, by library and by file), and each has what headers can hold.
set -eu
out=$1
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export SOURCE_DATE_EPOCH=1700000000 LC_ALL=C
mkdir -p "$out"

build() { # build NAME [OPTION…]: the spec comes in
  name=$1
  shift
  cat >"$work/$name.spec"
  rpmbuild -bb --quiet --define "_topdir $work" --define "_rpmdir $out" --define '_rpmfilename %{NAME}-%{VERSION}.rpm' \
    --define '_buildhost test' --define 'use_source_date_epoch_as_buildtime 1' \
    --define 'clamp_mtime_to_source_date_epoch 1' --define '__brp_strip /bin/true' \
    "$@" "$work/$name.spec" >"$work/log" 2>&1 || { cat "$work/log" >&2; exit 1; }
}

build kiln-app --define '_binary_payload w6.gzdio' <<'S'
Name: kiln-app
Epoch: 2
Version: 1.0~rc1
Release: 3.el9
Summary: An <application> & "more", grüße
License: Apache-2.0
URL: https://example.com/?a=1&b=2
BuildArch: noarch
Requires: kiln-lib >= 1:2.0
Requires: libkiln.so.2(VERS_1)(64bit)
Requires: /usr/share/kiln-lib/data
Requires(pre): kiln-tool
Recommends: nothing-that-is
Conflicts: kiln-app-old < 1
Obsoletes: kiln-app-old < 1
%description
Some lines,
and <another>.
%install
mkdir -p %{buildroot}/usr/bin %{buildroot}/etc/kiln-app %{buildroot}/usr/share/kiln-app
echo '#!/bin/sh' >%{buildroot}/usr/bin/kiln-app
echo a >%{buildroot}/etc/kiln-app/a.conf
echo b >"%{buildroot}/usr/share/kiln-app/a b"
%files
%attr(0755,root,root) /usr/bin/kiln-app
%config /etc/kiln-app
%ghost /var/lib/kiln-app
"/usr/share/kiln-app/a b"
S

build kiln-lib --define '_binary_payload w6.xzdio' <<'S'
Name: kiln-lib
Epoch: 1
Version: 2.0
Release: 1.el9
Summary: A library
License: MIT
BuildArch: noarch
Provides: libkiln.so.2(VERS_1)(64bit)
Provides: kiln-thing = 7
%description
A library.
%install
mkdir -p %{buildroot}/usr/share/kiln-lib
echo d >%{buildroot}/usr/share/kiln-lib/data
%files
/usr/share/kiln-lib
S

build kiln-tool --define '_binary_payload w6.gzdio' <<'S'
Name: kiln-tool
Version: 0.1
Release: 1
Summary: A tool
License: MIT
BuildArch: noarch
Requires: (kiln-lib if kiln-app)
%description
A tool.
%files
S

# What nothing provides.
build kiln-broken --define '_binary_payload w6.gzdio' <<'S'
Name: kiln-broken
Version: 1
Release: 1
Summary: Broken
License: MIT
BuildArch: noarch
Requires: kiln-absent >= 3
%description
It cannot be installed.
%files
S
