# etcd with etcdctl and etcdutl, which are modules of their own in one repository. Sourced by build-go.sh.
# shellcheck shell=bash
modules=(go.etcd.io/etcd/server/v3 go.etcd.io/etcd/etcdctl/v3 go.etcd.io/etcd/etcdutl/v3)

compile() {
    go_build etcd go.etcd.io/etcd/server/v3
    go_build etcdctl go.etcd.io/etcd/etcdctl/v3
    go_build etcdutl go.etcd.io/etcd/etcdutl/v3
}

proof() { "$1/etcd" --version | grep -F "etcd Version: $version" && "$1/etcdutl" version | grep -F "$version"; }
