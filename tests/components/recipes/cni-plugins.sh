# The CNI plugins. Sourced by build-go.sh.
# shellcheck shell=bash
module=github.com/containernetworking/plugins

flags() { printf -- "-X %s/pkg/utils/buildversion.BuildVersion=v%s" $module "$version"; }

compile() {
    local dir
    for dir in plugins/main/{bridge,dummy,host-device,ipvlan,loopback,macvlan,ptp,tap,vlan} \
        plugins/meta/{bandwidth,firewall,portmap,sbr,tuning,vrf} plugins/ipam/{dhcp,host-local,static}; do
        go_build "${dir##*/}" "./$dir"
    done
}

proof() { CNI_COMMAND=VERSION "$1/bridge" <<<'{"cniVersion":"1.0.0"}' | grep -F supportedVersions; }
