//! The kickstart: `/ks.cfg` of a medium, the same for every node of a role.
//!
//! What differs between nodes (network, disk) is found by `kiln node prepare` in `%pre` and included. What differs
//! between releases is in one file, `el.rs`. Scripts are templates below `kickstart/`, which a user may override.

mod el;
mod model;
mod nocloud;

use crate::profile::PortLabel;
pub use crate::profile::Selinux;
pub use el::El;
use model::CORE;
pub use model::{Command, Firewall, Kickstart, RootPassword, Stage, Word};
pub use nocloud::user_data_for;

use serde::Serialize;

use crate::assets::Assets;
use crate::cluster::Cluster;
use crate::cluster::types::{HostName, PasswordHash, Release, Role};
use crate::digest::Sha256;
use crate::error::{Context, Error, Result};
use crate::image::label::VolumeLabel;
use crate::image::pxe::REPOSITORY;
use crate::image::pxe::list::TreeUrl;
use crate::image::volume::OEMDRV;
use crate::packages;
use crate::payload;
use crate::payload::manifest::Spread;
use crate::plan::RolePlan;
use crate::render;

/// How long a machine that could not be installed shows why before it powers off.
pub const HOLD_MINUTES: u32 = 10;

/// Files that `kiln node prepare` makes and the kickstart includes.
const INCLUDES: [&str; 2] = ["/tmp/kiln/disk.ks", "/tmp/kiln/network.ks"];

/// What it makes besides of a seed: how root may log in.
pub const ACCESS: &str = "access.ks";

/// Where `kiln node adopt` keeps the answers, on a machine that started from a disk image.
pub const ADOPTION: &str = "/var/lib/kiln/adopt";

/// Where the installer mounts the medium, on all releases.
const MEDIUM: &str = "/run/install/repo";
/// Where `%pre` mounts a volume that the payload lies on beside the vendor's medium.
const VOLUME: &str = "/run/kiln-medium";
/// Where `%pre` puts kiln and the manifest that come from a server.
const FETCHED: &str = "/tmp/kiln-medium";

/// Scripts by stage, in the order in which they stand in the file.
const SCRIPTS: [(Stage, &str); 6] = [
    (Stage::Pre, "kickstart/pre.sh.j2"),
    (Stage::PreInstall, "kickstart/bind.sh.j2"),
    (Stage::PostOutside, "kickstart/place.sh.j2"),
    (Stage::PostInside, "kickstart/post.sh.j2"),
    (Stage::Finish, "kickstart/finish.sh.j2"),
    (Stage::OnError, "kickstart/onerror.sh.j2"),
];

/// The function that scripts stop with: `hold` in their templates.
const HOLD: &str = "kickstart/hold.sh.j2";

/// What SELinux is told inside a new system, whichever way that comes: `system` in their templates.
const SYSTEM: &str = "kickstart/system.sh.j2";

/// Scripts of the first boot of a disk image, by their path on its payload.
const FIRST_BOOT: [(&str, &str); 2] =
    [(payload::FIRST_BOOT, "kickstart/first-boot.sh.j2"), (payload::SET_UP, "kickstart/set-up.sh.j2")];

/// What a kickstart is made from.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// The cluster.
    pub cluster: &'a Cluster,
    /// The role that the medium serves.
    pub role: Role,
    /// The medium's label.
    pub label: &'a VolumeLabel,
    /// Packages to install.
    pub packages: &'a [String],
    /// Units to enable.
    pub units: &'a [String],
    /// SELinux.
    pub selinux: Selinux,
    /// SELinux booleans to set to true.
    pub selinux_booleans: &'a [String],
    /// Labels of TCP ports for SELinux.
    pub selinux_ports: &'a [PortLabel],
    /// Words for the kernel's command line.
    pub kernel_args: &'a [String],
    /// How all that reaches the installer.
    pub way: Way<'a>,
}

/// How things reach the installer.
#[derive(Debug, Clone, Copy, Default)]
pub struct Way<'a> {
    /// The server that all comes from, if it is no medium.
    pub network: Option<&'a Network>,
    /// On which volumes it lies.
    pub spread: Spread,
}

impl Way<'_> {
    /// Folder with kiln and the manifest, as the installer sees it.
    fn media(&self) -> &'static str {
        match (self.network, self.spread) {
            (Some(_), _) => FETCHED,
            (None, Spread::Beside) => VOLUME,
            (None, Spread::Whole | Spread::Split) => MEDIUM,
        }
    }
}

/// A server that a machine is installed from, and what has to come from it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Network {
    /// Address of the PXE tree.
    pub url: TreeUrl,
    /// Digest of kiln's program.
    pub kiln: Sha256,
    /// Digest of the manifest; [`crate::payload::UNKNOWN`] where it is put in later.
    pub manifest: Sha256,
}

/// What the scripts' templates see.
#[derive(Debug, Serialize)]
struct Data<'a> {
    cluster: String,
    role: &'a str,
    el: u8,
    label: &'a str,
    /// Folder with kiln and the manifest.
    media: &'static str,
    /// Address of the PXE tree, with a `/` at its end; none on media.
    url: Option<String>,
    /// Label of the volume that the payload lies on, if that is not the medium that booted.
    volume: Option<&'static str>,
    kiln_sha256: Option<String>,
    manifest_sha256: Option<String>,
    units: &'a [String],
    selinux_booleans: &'a [String],
    selinux_ports: &'a [PortLabel],
    enforcing: bool,
    /// Whether a node of the role runs an etcd member.
    etcd: bool,
    ssh_keys: Vec<&'a str>,
    hold_minutes: u32,
    hold: String,
    system: String,
    root_password: Option<&'a str>,
    /// Where the line of root's password is, if it came with the seed.
    access: Option<String>,
    kernel_args: String,
    packages: &'a [String],
    firewall: bool,
}

/// Renders the kickstart of a role's medium with that label.
pub fn render(cluster: &Cluster, plan: &RolePlan, label: &VolumeLabel, assets: &Assets) -> Result<String> {
    render_for(cluster, plan, label, assets, Way::default())
}

/// Renders the kickstart of a role for a way on which things reach the installer.
pub fn render_for(
    cluster: &Cluster,
    plan: &RolePlan,
    label: &VolumeLabel,
    assets: &Assets,
    way: Way<'_>,
) -> Result<String> {
    Ok(build(&request(cluster, plan, label, way), &|name| assets.text(name))?.to_string())
}

/// Renders what sets a machine up that starts from a disk image with that label: what cloud-init reads ([`nocloud`]), and the
/// scripts that it leads to, by their paths on the payload.
pub fn first_boot(
    cluster: &Cluster,
    plan: &RolePlan,
    label: &VolumeLabel,
    assets: &Assets,
    spread: Spread,
) -> Result<payload::Texts> {
    boot_files(&request(cluster, plan, label, Way { network: None, spread }), &|name| assets.text(name))
}

/// The same, from what it is made of.
fn boot_files(request: &Request<'_>, template: &dyn Fn(&str) -> Result<String>) -> Result<payload::Texts> {
    let cluster = request.cluster;
    root_password(cluster, el_of(cluster.base.release)?)?;
    let data = data(request, template)?;
    let mut files = nocloud::files(request);
    for (path, name) in FIRST_BOOT {
        let text = render::text(name, &template(name)?, &data).context("rendering the first boot")?;
        files.push((path, text));
    }
    Ok(files)
}

fn request<'a>(
    cluster: &'a Cluster,
    plan: &'a RolePlan,
    label: &'a VolumeLabel,
    way: Way<'a>,
) -> Request<'a> {
    Request {
        cluster,
        role: plan.role,
        label,
        packages: &plan.packages,
        units: &plan.units,
        selinux: plan.selinux,
        selinux_booleans: &plan.selinux_booleans,
        selinux_ports: &plan.selinux_ports,
        kernel_args: &plan.kernel_args,
        way,
    }
}

/// What the kickstart of a release asks for besides the packages of the profile: the smallest environment, and its core.
pub fn groups(release: Release) -> Result<[&'static str; 2]> {
    Ok([el_of(release)?.environment(), CORE])
}

fn el_of(release: Release) -> Result<El> {
    El::of(release.el).ok_or_else(|| Error::internal(format!("no kickstart for {release}")))
}

/// Makes the kickstart. `template` gives a script's template by its path.
pub fn build(request: &Request<'_>, template: &dyn Fn(&str) -> Result<String>) -> Result<Kickstart> {
    let Request { cluster, role, label, .. } = *request;
    let release = cluster.base.release;
    let el = el_of(release)?;
    let title = format!(
        "{label}: made by kiln for nodes of profile {role} of cluster {}, on {release}",
        cluster.name
    );
    let mut kickstart = Kickstart::new(el, &title);
    commands(request, el)?.into_iter().try_for_each(|command| kickstart.add(command))?;
    request.packages.iter().try_for_each(|package| kickstart.add_package(package))?;
    let data = data(request, template)?;
    for (stage, name) in SCRIPTS {
        let body = render::text(name, &template(name)?, &data).context("rendering the kickstart")?;
        kickstart.add_script(stage, name, body)?;
    }
    Ok(kickstart)
}

fn commands(request: &Request<'_>, el: El) -> Result<Vec<Command>> {
    let cluster = request.cluster;
    let Way { network, spread } = request.way;
    let mut list = vec![match network {
        None => Command::Cdrom,
        Some(network) => Command::Url(Word::new("address", &network.url.file(REPOSITORY))?),
    }];
    if !cluster.base.rpms.is_empty() {
        let name = Word::new("repository", packages::REPOSITORY)?;
        let folder = match network {
            None => format!("file://{}{}", request.way.media(), packages::FOLDER),
            Some(network) => network.url.file(packages::FOLDER),
        };
        list.push(Command::Repository { name, url: Word::new("address", &folder)? });
    }
    list.push(Command::Unattended);
    let has = |name: &str| request.packages.iter().any(|package| package == name);
    if el.has_modules() && has("container-selinux") {
        let (name, stream) = (Word::new("module", "container-tools")?, Word::new("stream", "rhel8")?);
        list.push(Command::Module { name, stream });
    }
    list.push(Command::English);
    list.push(Command::Utc { servers: time_servers(&cluster.network.ntp)? });
    list.push(Command::Auth);
    let password = root_password(cluster, el)?;
    list.push(match spread {
        Spread::Split => Command::Include(Word::new("path", &format!("/tmp/kiln/{ACCESS}"))?),
        Spread::Whole | Spread::Beside => Command::RootPassword(password),
    });
    if el.has_sshkey() {
        list.extend(cluster.access.ssh_keys.iter().cloned().map(Command::RootKey));
    }
    list.push(Command::Selinux(request.selinux));
    list.push(Command::Firewall(if has("firewalld") { Firewall::Enabled } else { Firewall::Disabled }));
    list.push(Command::NoQuestions);
    list.push(Command::Reboot);
    for path in INCLUDES {
        list.push(Command::Include(Word::new("path", path)?));
    }
    Ok(list)
}

fn time_servers(servers: &[String]) -> Result<Vec<Word>> {
    let check = |server: &String| {
        if server.parse::<std::net::IpAddr>().is_err() && server.parse::<HostName>().is_err() {
            return Err(Error::input(format!(
                "time server `{}` is neither an address nor a name",
                server.escape_debug()
            )));
        }
        Word::new("time server", server)
    };
    servers.iter().map(check).collect()
}

/// Locked unless the cluster file gives a hash; there is no default password.
fn root_password(cluster: &Cluster, el: El) -> Result<RootPassword> {
    match &cluster.access.root_password_hash {
        None => Ok(RootPassword::Locked),
        Some(hash) if hash.as_str().starts_with("$y$") && !el.has_yescrypt() => {
            Err(Error::input(format!("{} cannot check password hashes of kind `$y$`", cluster.base.release))
                .hint("give a SHA-512 hash: `openssl passwd -6`"))
        }
        Some(hash) => Ok(RootPassword::Hash(hash.clone())),
    }
}

/// What the templates see, the parts that they share rendered.
fn data<'a>(request: &Request<'a>, template: &dyn Fn(&str) -> Result<String>) -> Result<Data<'a>> {
    let mut data = facts(request)?;
    let part = |name, data: &Data<'_>| {
        let text = render::text(name, &template(name)?, data).context("rendering the kickstart")?;
        Ok::<_, Error>(text.trim_end().to_owned())
    };
    (data.hold, data.system) = (part(HOLD, &data)?, part(SYSTEM, &data)?);
    Ok(data)
}

fn facts<'a>(request: &Request<'a>) -> Result<Data<'a>> {
    let cluster = request.cluster;
    let check = |what: &str, list: &[String], more: &str| -> Result<()> {
        let fits = |c: char| c.is_ascii_alphanumeric() || more.contains(c);
        match list.iter().find(|name| name.is_empty() || name.starts_with('-') || !name.chars().all(fits)) {
            Some(bad) => Err(Error::input(format!("`{}` is no name of {what}", bad.escape_debug()))),
            None => Ok(()),
        }
    };
    check("a unit", request.units, "@._-:")?;
    check("an SELinux boolean", request.selinux_booleans, "_")?;
    check("a package", request.packages, "@._-:+^")?;
    request.kernel_args.iter().try_for_each(|arg| Word::new("kernel argument", arg).map(|_| ()))?;
    let Way { network, spread } = request.way;
    let password = cluster.access.root_password_hash.as_ref().filter(|_| spread != Spread::Split);
    Ok(Data {
        cluster: cluster.name.to_string(),
        role: request.role.as_str(),
        el: cluster.base.release.el,
        label: request.label.as_str(),
        media: request.way.media(),
        url: network.map(|network| network.url.to_string()),
        volume: (spread == Spread::Beside).then_some(OEMDRV),
        kiln_sha256: network.map(|network| network.kiln.to_string()),
        manifest_sha256: network.map(|network| network.manifest.to_string()),
        units: request.units,
        selinux_booleans: request.selinux_booleans,
        selinux_ports: request.selinux_ports,
        etcd: cluster.etcd_members().any(|node| node.role == request.role),
        enforcing: request.selinux == Selinux::Enforcing,
        ssh_keys: cluster.access.ssh_keys.iter().map(|key| key.as_str()).collect(),
        hold_minutes: HOLD_MINUTES,
        hold: String::new(),
        system: String::new(),
        root_password: password.map(PasswordHash::as_str),
        access: (spread == Spread::Split).then(|| format!("{}/{ACCESS}", ADOPTION)),
        kernel_args: request.kernel_args.join(" "),
        packages: request.packages,
        firewall: request.packages.iter().any(|package| package == "firewalld"),
    })
}

#[cfg(test)]
mod tests;
