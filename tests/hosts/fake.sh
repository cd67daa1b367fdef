#!/bin/sh
# Stands in for the package managers of other systems in tests/hosts.rs, under their names. Notes how it was called in $LOG;
# "installs" below $KILN_SETUP_ROOT what it is asked for, but not what $NOT_THERE names, and fails for $FAILS.
name=${0##*/}
echo "$name $*" >>"$LOG"
case " $* " in *" ${FAILS:-nothing} "*) echo "$name: no such thing" >&2; exit 1 ;; esac
packages=$KILN_SETUP_ROOT/packages
mkdir -p "$packages"
case $name in
  sudo) exec "$@" ;;
  rpm) [ -e "$packages/$2" ] ;;
  dpkg-query)
    for package in "$@"; do :; done # the last one
    if [ -e "$packages/$package" ]; then echo 'install ok installed'; else exit 1; fi
    ;;
  apt-get | dnf)
    case " $* " in *' install '*) ;; *) exit 0 ;; esac
    for wanted in "$@"; do
      case " ${NOT_THERE:-} " in *" $wanted "*) continue ;; esac
      case $wanted in
        -* | install) ;;
        /*) mkdir -p "$KILN_SETUP_ROOT${wanted%/*}" && : >"$KILN_SETUP_ROOT$wanted" ;;
        *) : >"$packages/$wanted" ;;
      esac
    done
    ;;
esac
