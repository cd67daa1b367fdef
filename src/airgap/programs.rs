//! Programs: what units start (systemd.service(5), `Exec…=`), what scripts call by absolute path, and what those programs start
//! in their turn. The operating system's folders are its packages' business; everything else has to be on the medium.

use super::text::{Format, Source};
use super::{Asked, Findings, Medium, Missing};
use crate::cluster::model::Runtime;

/// Folders that packages of the operating system fill.
const SYSTEM: [&str; 9] =
    ["/usr/bin", "/usr/sbin", "/bin", "/sbin", "/usr/libexec", "/usr/lib", "/usr/lib64", "/lib", "/lib64"];
/// Folders that are empty when a machine starts, and the installer's: what is there was made by what runs.
const PASSING: [&str; 6] = ["/run", "/tmp", "/mnt", "/dev", "/proc", "/sys"];

/// Folder of the plugins that runtimes start for the network of pods.
const CNI: &str = "/opt/cni/bin";

/// Words of the shell behind which a command stands.
const BEFORE_COMMANDS: [&str; 12] =
    ["then", "do", "else", "elif", "if", "while", "until", "exec", "nohup", "!", "env", "sudo"];

/// Programs and the words that make them ask a network.
const ASKS: [(&str, &[&str]); 14] = [
    ("docker", &["pull"]),
    ("podman", &["pull"]),
    ("nerdctl", &["pull"]),
    ("crictl", &["pull"]),
    ("ctr", &["pull"]),
    ("dnf", &["install", "update", "upgrade"]),
    ("yum", &["install", "update", "upgrade"]),
    ("microdnf", &["install", "update", "upgrade"]),
    ("apt-get", &["install", "update", "upgrade"]),
    ("pip", &["install"]),
    ("pip3", &["install"]),
    ("git", &["clone", "fetch", "pull"]),
    ("helm", &["pull", "repo"]),
    ("npm", &["install"]),
];

const PUT: &str = "put the program at that path by a component or an overlay, or take out what starts it";
const BRING: &str = "put what it fetches on the medium: images by `images` in [components], packages by the profile, files by an \
                     overlay; if nodes reach it all the same, say so with `# kiln: reachable` on the line before";

/// Whether a path belongs to the operating system's packages.
pub(super) fn is_of_system(path: &str) -> bool {
    below(path, &SYSTEM)
}

fn below(path: &str, folders: &[&str]) -> bool {
    folders.iter().any(|folder| path.strip_prefix(folder).is_some_and(|rest| rest.starts_with('/')))
}

/// Finds programs that are started and not there, and commands that ask a network.
pub(super) fn walk(medium: &Medium<'_>, source: &Source<'_>, findings: &mut Findings) {
    match source.format {
        Format::Unit => unit(medium, source, findings),
        Format::Script => script(medium, source, findings),
        Format::Config => {
            for line in source.lines() {
                for path in paths(&line.text).into_iter().filter(|path| in_program_folder(path)) {
                    need(medium, source, path, source.at(line.number), findings);
                }
            }
        }
        Format::Yaml | Format::Json => plugins(medium, source, findings),
        Format::Xml => {}
    }
}

fn unit(medium: &Medium<'_>, source: &Source<'_>, findings: &mut Findings) {
    for line in source.logical_lines() {
        let Some((key, value)) = line.text.trim_start().split_once('=') else { continue };
        if !key.starts_with("Exec") {
            continue;
        }
        // systemd.service(5): characters that say how, in front of the path.
        let command = value.trim_start().trim_start_matches(['-', '@', ':', '+', '!', '|']);
        let program = command.split_whitespace().next().unwrap_or_default().trim_matches(['"', '\'']);
        let asked = || source.at(line.number);
        if program.starts_with('/') {
            need(medium, source, program, asked(), findings);
        }
        for path in paths(command).into_iter().filter(|path| *path != program && in_program_folder(path)) {
            need(medium, source, path, asked(), findings);
        }
        for path in started(program, command, medium.cluster.runtime) {
            need(medium, source, path, asked(), findings);
        }
        if !line.excused {
            asks(&line.text, asked(), findings);
        }
    }
}

fn script(medium: &Medium<'_>, source: &Source<'_>, findings: &mut Findings) {
    if let Some(interpreter) = source.text.strip_prefix("#!").and_then(|rest| rest.split_whitespace().next())
    {
        need(medium, source, interpreter, source.at(1), findings);
    }
    for line in source.logical_lines() {
        for path in paths(&line.text).into_iter().filter(|path| in_program_folder(path)) {
            need(medium, source, path, source.at(line.number), findings);
        }
        for command in commands(&line.text).into_iter().filter(|word| word.starts_with('/')) {
            need(medium, source, command, source.at(line.number), findings);
        }
        if !line.excused {
            asks(&line.text, source.at(line.number), findings);
        }
    }
}

/// Programs that others start by themselves.
fn started(program: &str, command: &str, runtime: Runtime) -> &'static [&'static str] {
    match (program, runtime) {
        ("/usr/local/bin/containerd", _) => {
            &["/usr/local/bin/containerd-shim-runc-v2", "/usr/local/bin/runc"]
        }
        ("/usr/bin/dockerd", _) => &["/usr/bin/containerd", "/usr/bin/runc"],
        ("/usr/bin/cri-dockerd", _) => &["/usr/bin/dockerd"],
        // Every network of pods is made of these; which others there are a CNI configuration says.
        ("/opt/kubernetes/bin/kubelet", _) => {
            &["/opt/cni/bin/bridge", "/opt/cni/bin/host-local", "/opt/cni/bin/loopback"]
        }
        ("/opt/kiln/bin/kiln", _) if command.contains("node addons") => &["/usr/bin/kubectl"],
        ("/opt/kiln/bin/kiln", _) if command.contains("node form ") || command.ends_with("node form") => {
            &["/opt/etcd/bin/etcdctl"]
        }
        ("/opt/kiln/bin/kiln", _) if command.contains("node routes") => &["/opt/cni/bin/portmap"],
        ("/opt/kiln/bin/kiln", Runtime::Containerd) if command.contains("node images") => {
            &["/usr/local/bin/ctr"]
        }
        ("/opt/kiln/bin/kiln", Runtime::Docker) if command.contains("node images") => &["/usr/bin/docker"],
        _ => &[],
    }
}

/// Plugins that a CNI configuration (CNI 0.3 and later, "Network configuration") names: on the node, or put there by a pod.
fn plugins(medium: &Medium<'_>, source: &Source<'_>, findings: &mut Findings) {
    if !source.text.contains("\"cniVersion\"") {
        return;
    }
    for line in source.lines() {
        for (at, key) in line.text.match_indices("\"type\"") {
            let value = line.text[at + key.len()..].trim_start_matches([':', ' ']).strip_prefix('"');
            let Some(name) = value.and_then(|rest| rest.split('"').next()) else { continue };
            let path = format!("{CNI}/{name}");
            if !name.is_empty() && !source.text.contains(&format!("\"{path}\"")) {
                need(medium, source, &path, source.at(line.number), findings);
            }
        }
    }
}

/// A program that has to be there.
fn need(medium: &Medium<'_>, source: &Source<'_>, path: &str, asked: Asked, findings: &mut Findings) {
    let path = path.trim_end_matches('/');
    let name = path.rsplit('/').next().unwrap_or_default();
    // What kiln names after itself no package brings, and what components bring packages do not.
    let ours = name.starts_with("kiln") || medium.components.iter().any(|known| known.as_str() == path);
    if below(path, &PASSING) || (is_of_system(path) && !ours) || medium.has(path, source.node) {
        return;
    }
    let fault = format!("the program {} is not on the medium", path.escape_debug());
    findings.add(Missing::Program, fault, PUT, asked);
}

/// Whether a path leads through a folder of programs.
fn in_program_folder(path: &str) -> bool {
    let mut parts = path.rsplit('/');
    parts.next();
    parts.any(|part| matches!(part, "bin" | "sbin" | "libexec"))
}

/// Absolute paths of a text: words that begin with a slash. A path behind a variable is relative to it.
fn paths(text: &str) -> Vec<&str> {
    let part = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '/' | '+' | '-' | '@');
    let glued = |c: char| part(c) || matches!(c, '$' | '{' | '}' | '%' | '*' | ':' | '~' | '\\');
    text.split(|c| !glued(c))
        .flat_map(|word| word.split(':'))
        .filter(|word| word.starts_with('/') && !word.starts_with("//") && word.chars().all(part))
        .collect()
}

/// Words of a line of shell that are commands: the first, and those behind an operator or a word of the shell.
fn commands(text: &str) -> Vec<&str> {
    let mut found = Vec::new();
    for part in text.split([';', '|', '&', '(', '{', '`']) {
        let mut words = part.split_whitespace().map(|word| word.trim_matches(['"', '\'']));
        found.extend(words.find(|word| !BEFORE_COMMANDS.contains(word) && !assigns(word)));
    }
    // `pattern)` of a case is none.
    found.retain(|word| !word.contains([')', '$', '*']));
    found
}

/// Whether a word sets a variable for the command behind it: `A=b command`.
fn assigns(word: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
    word.split_once('=').is_some_and(|(name, _)| name.chars().all(plain))
}

/// Commands that fetch something.
fn asks(text: &str, asked: Asked, findings: &mut Findings) {
    for part in text.split([';', '|', '&', '(', '`']) {
        let words: Vec<&str> = part.split_whitespace().map(|word| word.trim_matches(['"', '\''])).collect();
        for (at, word) in words.iter().enumerate() {
            let name = word.rsplit('/').next().unwrap_or_default();
            let Some((_, verbs)) = ASKS.iter().find(|(program, _)| *program == name) else { continue };
            if let Some(verb) = words[at + 1..].iter().find(|word| verbs.contains(*word)) {
                let fault = format!("`{name} {verb}` asks a network");
                findings.add(Missing::Url, fault, BRING, asked.clone());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn absolute_paths_are_told_from_others() {
        let text = "x=/opt/a/bin/b \"$root/opt/c\" $(cat /etc/d) https://e/f --g=/h/i,/j:/k ${l}/m /n*";
        assert_eq!(paths(text), ["/opt/a/bin/b", "/etc/d", "/h/i", "/j", "/k"]);
        assert!(
            in_program_folder("/opt/a/bin/b")
                && !in_program_folder("/opt/bin")
                && !in_program_folder("/opt/binary/x")
        );
    }

    #[test]
    fn folders_of_the_system() {
        assert!(is_of_system("/usr/bin/env") && is_of_system("/lib/systemd/x"));
        assert!(
            !is_of_system("/usr/local/bin/ctr")
                && !is_of_system("/opt/usr/bin/x")
                && !is_of_system("/usr/binary")
        );
    }

    #[test]
    fn commands_of_a_line() {
        assert_eq!(
            commands("if /opt/a -x; then A=b exec /opt/c; fi | /d && \"/e f\""),
            ["/opt/a", "/opt/c", "fi", "/d", "/e"]
        );
    }

    #[test]
    fn what_asks_a_network() {
        let found = |text: &str| {
            let mut findings = Findings::default();
            let asked = Asked { file: "f".into(), line: Some(1), origin: "o".into() };
            asks(text, asked, &mut findings);
            findings.0.into_keys().map(|(_, fault)| fault).collect::<Vec<_>>()
        };
        assert_eq!(found("x && /usr/bin/docker --host y pull a:1"), ["`docker pull` asks a network"]);
        assert_eq!(found("dnf -y install foo"), ["`dnf install` asks a network"]);
        for quiet in ["docker load; echo pull", "ctr images import x", "git log", "echo dnf"] {
            assert!(found(quiet).is_empty(), "{quiet}");
        }
    }
}
