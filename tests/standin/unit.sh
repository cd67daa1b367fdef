#!/usr/bin/env bash
# Unit tests of the stand-in's installer: what can be known without a machine. Needs pykickstart, which `make setup` installs.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
venv=${KILN_CACHE:-$HOME/.cache/kiln}/venv/bin/python3
python=python3
[ ! -x "$venv" ] || python=$venv
PYTHONDONTWRITEBYTECODE=1 "$python" -W ignore -m unittest discover --quiet --buffer -s installer/tests -t .
