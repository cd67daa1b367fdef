//! What cloud-init reads of the payload of a disk image: NoCloud's `user-data`, `meta-data` and `network-config`, by the rules of
//! 18.5 (EL 7) and of all later ones. It is told to leave everything alone but the size of root, and to hand over to kiln.

use super::Request;
use crate::cluster::types::{HostName, Role};
use crate::error::{Error, Result};
use crate::payload::{FIRST_BOOT, META_DATA, NETWORK_CONFIG, Texts, USER_DATA};

/// Where the volume is mounted while the first boot begins.
const MOUNT: &str = "/run/kiln-medium";
/// Where the script may be told which node the machine is.
const NODE: &str = "node=;";

/// The files.
pub(super) fn files(request: &Request<'_>) -> Texts {
    let mut files = vec![
        (USER_DATA, user_data(request)),
        // The instance is the build: an image that is built anew is another one.
        (META_DATA, format!("instance-id: {}\n", request.label)),
    ];
    let pools = request.role == Role::Worker && !request.cluster.worker_pools.is_empty();
    if !pools {
        // Nodes have addresses of their own, and kiln writes them. Members of a pool need DHCP from the start.
        files.push((NETWORK_CONFIG, "version: 1\nconfig: disabled\n".to_owned()));
    }
    files
}

/// The user-data of a payload, for a machine of which an operator says by it that it is this node. cloud-init has one source of data
/// only: where a platform has its own, the payload's is not looked at, and this is given to the platform.
///
/// # Errors
/// Input: it is not as [`files`] makes it.
pub fn user_data_for(text: &str, node: &HostName) -> Result<String> {
    match text.matches(NODE).count() {
        1 => Ok(text.replace(NODE, &format!("node={node};"))),
        _ => Err(Error::input(format!("{USER_DATA} of the payload has no place for a node's name"))
            .hint("another kiln made the image: build it again")),
    }
}

/// `bootcmd` runs at every boot, before root grows; what it starts waits for that. `runcmd` would be done once, and is taken for
/// done after a power cut in the middle of it.
fn user_data(request: &Request<'_>) -> String {
    let Request { cluster, role, label, .. } = request;
    // Another volume of that label may be plugged in, a hypervisor's own: the right one names this medium.
    let script = format!(
        "{NODE} [ ! -e /var/lib/kiln/adopted ] || exit 0; mkdir -p {MOUNT}; \
         for volume in $(blkid -t LABEL=cidata -o device); do \
         mount -t iso9660 -o ro \"$volume\" {MOUNT} || continue; \
         if grep -q -F {label} {MOUNT}/kiln/manifest.json; then found=1; sh {MOUNT}{FIRST_BOOT} {MOUNT} \"$node\" || echo kiln: the first boot failed > /dev/console; fi; \
         umount {MOUNT}; done; \
         [ -n \"$found\" ] || echo kiln: no volume of this machine is the payload {label} > /dev/console"
    );
    format!(
        "#cloud-config\n\
         # {label}: made by kiln for nodes of profile {role} of cluster {}\n\
         users: []\n\
         disable_root: false\n\
         ssh_pwauth: false\n\
         preserve_hostname: true\n\
         manage_etc_hosts: false\n\
         bootcmd:\n\
         \u{20}- [sh, -c, '{script}']\n",
        cluster.name
    )
}
