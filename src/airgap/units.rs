//! Units (systemd.unit(5)): those that are enabled have to lie in a tree or come from a package of the profile, and what a unit
//! cannot start without has to lie there too.

use std::collections::BTreeSet;

use super::text::{Format, Source};
use super::{Asked, Findings, Medium, Missing};
use crate::cluster::types::HostName;
use crate::tree::Kind;

/// Where a tree may hold units.
const FOLDERS: [&str; 3] = ["/usr/lib/systemd/system", "/etc/systemd/system", "/lib/systemd/system"];

/// Units whose package has another name.
const PACKAGES: [(&str, &str); 10] = [
    ("chronyd", "chrony"),
    ("sshd", "openssh-server"),
    ("ntpd", "ntp"),
    ("iscsid", "iscsi-initiator-utils"),
    ("multipathd", "device-mapper-multipath"),
    ("rpcbind", "rpcbind"),
    ("nfs-server", "nfs-utils"),
    ("nfs-client.target", "nfs-utils"),
    ("snmpd", "net-snmp"),
    ("fstrim.timer", "util-linux"),
];

/// Units of every installation: those of systemd itself, and what the group `core` brings.
const ALWAYS: [&str; 8] =
    ["NetworkManager", "auditd", "crond", "dbus", "getty@", "rsyslog", "serial-getty@", "fstrim"];

const ADD_UNIT: &str = "add the unit by an overlay, or the package that brings it to `packages` of the profile, or take it out of \
                        `units`";
const ADD_FILE: &str =
    "add the file by an overlay, or write `-` before its path if the unit can start without it";

/// Finds files that a unit names and cannot start without.
pub(super) fn walk(medium: &Medium<'_>, source: &Source<'_>, findings: &mut Findings) {
    if source.format != Format::Unit {
        return;
    }
    for line in source.logical_lines() {
        let Some(path) = line.text.trim_start().strip_prefix("EnvironmentFile=").map(str::trim) else {
            continue;
        };
        let ours = path.starts_with("/opt/") || path.starts_with("/etc/");
        if ours && !path.contains(['*', '?', '[', '%']) && !medium.has(path, source.node) {
            let fault = format!("the file {} is not on the medium", path.escape_debug());
            findings.add(Missing::File, fault, ADD_FILE, source.at(line.number));
        }
    }
}

/// Finds enabled units that nothing brings: by the profile, by links in the trees, by the kickstart.
pub(super) fn enabled(medium: &Medium<'_>, sources: &[Source<'_>], findings: &mut Findings) {
    let profile = |node: Option<&HostName>| Asked {
        file: format!("profiles/{}.toml", medium.plan.role),
        line: None,
        origin: node
            .map_or("units of the profile".to_owned(), |node| format!("units of the profile, for {node}")),
    };
    for unit in &medium.plan.units {
        judge(medium, unit, None, profile(None), findings);
    }
    for (name, own) in &medium.plan.nodes {
        own.units.iter().for_each(|unit| judge(medium, unit, Some(name), profile(Some(name)), findings));
    }
    for (node, tree) in medium.trees() {
        for (path, entry) in tree.iter() {
            let wanted = path.parent().is_some_and(|folder| folder.as_str().ends_with(".wants"));
            let Some(unit) = path.as_str().rsplit('/').next().filter(|_| wanted) else { continue };
            if matches!(entry.kind, Kind::Symlink(_)) {
                let asked = Asked { file: path.to_string(), line: None, origin: entry.origin.clone() };
                judge(medium, unit, node, asked, findings);
            }
        }
    }
    for source in sources.iter().filter(|source| source.format == Format::Script) {
        let mut written = BTreeSet::new();
        for line in source.logical_lines() {
            written.extend(writes(&line.text).map(str::to_owned));
            for unit in enables(&line.text).into_iter().filter(|unit| !written.contains(*unit)) {
                judge(medium, unit, source.node, source.at(line.number), findings);
            }
        }
    }
}

/// Units that a line enables by systemctl.
fn enables(text: &str) -> Vec<&str> {
    let mut words = text.split_whitespace().map(|word| word.trim_matches(['"', '\'', ';']));
    if !words.any(|word| word.rsplit('/').next() == Some("systemctl")) || !words.any(|word| word == "enable")
    {
        return Vec::new();
    }
    let unit = |word: &&str| {
        !word.is_empty() && word.chars().all(|c| c.is_ascii_alphanumeric() || ".@_:-".contains(c))
    };
    words
        .take_while(|word| !matches!(*word, "&&" | "||" | "|"))
        .filter(|word| !word.starts_with('-'))
        .filter(unit)
        .collect()
}

/// The unit that a line of a script writes: `cat > /etc/systemd/system/NAME`.
fn writes(text: &str) -> Option<&str> {
    let (_, to) = text.split_once('>')?;
    let path = to.trim_start_matches('>').split_whitespace().next()?;
    let (folder, unit) = path.trim_matches(['"', '\'']).rsplit_once('/')?;
    FOLDERS.contains(&folder).then_some(unit)
}

fn judge(medium: &Medium<'_>, unit: &str, node: Option<&HostName>, asked: Asked, findings: &mut Findings) {
    if !is_known(medium, unit, node) {
        let fault = format!("the unit {} is enabled, and nothing brings it", unit.escape_debug());
        findings.add(Missing::Unit, fault, ADD_UNIT, asked);
        return;
    }
    // A timer or socket of a tree starts a service of its name.
    let stem = unit.strip_suffix(".timer").or_else(|| unit.strip_suffix(".socket"));
    if let Some((stem, text)) = stem.zip(text_of(medium, unit)) {
        let named = text
            .lines()
            .find_map(|line| line.trim().strip_prefix("Unit=").or(line.trim().strip_prefix("Service=")));
        let started = named.map_or(format!("{stem}.service"), |name| name.trim().to_owned());
        if !is_known(medium, &started, node) {
            let fault =
                format!("the unit {} is started by {unit}, and nothing brings it", started.escape_debug());
            findings.add(Missing::Unit, fault, ADD_UNIT, asked);
        }
    }
}

/// The text of a unit of a tree.
fn text_of(medium: &Medium<'_>, unit: &str) -> Option<String> {
    let find = |folder: &&str| {
        let entry = medium.common.get(&format!("{folder}/{unit}"))?;
        let Kind::File(blob) = &entry.kind else { return None };
        String::from_utf8(blob.to_vec(1 << 20).ok()?).ok()
    };
    FOLDERS.iter().find_map(find)
}

fn is_known(medium: &Medium<'_>, unit: &str, node: Option<&HostName>) -> bool {
    // An instance is made of its template.
    let template =
        unit.split_once('@').and_then(|(name, rest)| Some(format!("{name}@.{}", rest.rsplit_once('.')?.1)));
    let names: BTreeSet<&str> = std::iter::once(unit).chain(template.as_deref()).collect();
    let lies = |name: &str| FOLDERS.iter().any(|folder| medium.has(&format!("{folder}/{name}"), node));
    names.iter().any(|name| lies(name)) || is_of_package(unit, &medium.plan.packages)
}

/// Whether a package of the profile, or of every installation, brings a unit.
fn is_of_package(unit: &str, packages: &[String]) -> bool {
    let stem = unit.rsplit_once('.').map_or(unit, |(stem, _)| stem);
    // What kiln names after itself no package brings.
    if stem.starts_with("kiln-") {
        return false;
    }
    let named = |name: &str| packages.iter().any(|package| package == name);
    let table = PACKAGES.iter().any(|(known, package)| (*known == stem || *known == unit) && named(package));
    let always = stem.starts_with("systemd-")
        || ALWAYS.iter().any(|known| stem == *known || (known.ends_with('@') && stem.starts_with(known)));
    table || always || named(stem)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_systemctl_enables() {
        assert_eq!(enables("systemctl enable --now a.service b.timer && x"), ["a.service", "b.timer"]);
        assert_eq!(enables("chroot /x /usr/bin/systemctl -q enable c@d.service"), ["c@d.service"]);
        for none in [
            "systemctl disable a",
            "systemctl set-default multi-user.target",
            "enable x",
            "systemctl enable \"$unit\"",
        ] {
            assert!(enables(none).is_empty(), "{none}");
        }
    }

    #[test]
    fn packages_and_their_units() {
        let packages = ["chrony".to_owned(), "nginx".to_owned()];
        for known in [
            "chronyd.service",
            "nginx.service",
            "NetworkManager.service",
            "systemd-resolved.service",
            "getty@tty1.service",
        ] {
            assert!(is_of_package(known, &packages), "{known}");
        }
        for unknown in ["sshd.service", "keepalived.service", "kiln-agent.service", "getty.service"] {
            assert!(!is_of_package(unknown, &packages), "{unknown}");
        }
        assert!(!is_of_package("kiln-agent.service", &["kiln-agent".to_owned()]));
    }

    #[test]
    fn a_script_brings_the_units_that_it_writes() {
        for (line, unit) in [
            ("cat > /etc/systemd/system/a.service <<'END'", Some("a.service")),
            ("printf x >> \"/usr/lib/systemd/system/b.timer\"", Some("b.timer")),
            ("cat > /etc/a.service", None),
            ("cat /etc/systemd/system/a.service", None),
            ("echo >", None),
            ("cat > /etc/systemd/system/a.service.d/x.conf", None),
        ] {
            assert_eq!(super::writes(line), unit, "{line}");
        }
    }
}
