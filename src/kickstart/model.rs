//! The typed kickstart: commands, packages, scripts. It can only hold what every release can carry, and is written in one
//! place; a command given twice, or two that exclude each other, are errors.

use std::fmt::{self, Write as _};

use super::el::El;
use crate::cluster::types::{PasswordHash, SshKey};
use crate::error::{Error, Result};
use crate::profile::Selinux;

/// The group that every system has.
pub(super) const CORE: &str = "@core";

/// A word of a kickstart line: printable ASCII without blanks, quotes, `\`, `#` or `$`, so that neither the kickstart's
/// lexer nor a shell sees more in it than the word.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Word(String);

impl Word {
    /// Checks a word; `what` says what it is, for the message.
    pub fn new(what: &str, text: &str) -> Result<Self> {
        let allowed = |c: char| c.is_ascii_graphic() && !"\"'`\\#$;&|<>(){}!".contains(c);
        if text.is_empty() || !text.chars().all(allowed) {
            return Err(Error::input(format!(
                "{what} `{}` cannot be written into a kickstart",
                text.escape_debug()
            ))
            .hint("it must be one word without blanks, quotes or characters that a shell takes specially"));
        }
        Ok(Self(text.to_owned()))
    }

    /// The word as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Word {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// How root may log in with a password.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RootPassword {
    /// Not at all.
    Locked,
    /// With the password of this hash.
    Hash(PasswordHash),
}

impl RootPassword {
    /// The line of a kickstart. It tells the hash.
    pub fn line(&self) -> String {
        match self {
            RootPassword::Locked => "rootpw --lock\n".to_owned(),
            RootPassword::Hash(hash) => format!("rootpw --iscrypted {}\n", hash.as_str()),
        }
    }
}

/// Whether the firewall of the system runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Firewall {
    /// It runs; what it lets in is in files of its own, and SSH.
    Enabled,
    /// It does not.
    Disabled,
}

/// A command of the kickstart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// Packages come from the medium that booted.
    Cdrom,
    /// Packages come from a server.
    Url(Word),
    /// More packages. They win over the same ones of the vendor.
    Repository {
        /// Name; none that Anaconda gives itself.
        name: Word,
        /// Address of the folder with repodata, as the installer sees it.
        url: Word,
    },
    /// No person is there.
    Unattended,
    /// A stream of a module (EL 8).
    Module {
        /// Name.
        name: Word,
        /// Stream.
        stream: Word,
    },
    /// Language, keyboard: English, us.
    English,
    /// UTC, in the hardware clock too, and time servers.
    Utc {
        /// Time servers; may be empty.
        servers: Vec<Word>,
    },
    /// How accounts are looked up.
    Auth,
    /// Root's password.
    RootPassword(RootPassword),
    /// A key for root.
    RootKey(SshKey),
    /// SELinux.
    Selinux(Selinux),
    /// Firewall.
    Firewall(Firewall),
    /// No questions at first boot, no graphics.
    NoQuestions,
    /// Reboot when done.
    Reboot,
    /// Includes a file that `%pre` makes.
    Include(Word),
}

impl Command {
    /// Commands of one key exclude each other; `None` may be given any number of times.
    fn key(&self) -> Option<&'static str> {
        Some(match self {
            Command::Cdrom | Command::Url(_) => "the installation source",
            Command::Unattended => "the installer's mode",
            Command::English => "the language",
            Command::Utc { .. } => "the time zone",
            Command::Auth => "the account lookup",
            Command::RootPassword(_) => "the password of root",
            Command::Selinux(_) => "SELinux",
            Command::Firewall(_) => "the firewall",
            Command::NoQuestions => "the questions at first boot",
            Command::Reboot => "what comes after the installation",
            Command::Repository { .. }
            | Command::Module { .. }
            | Command::RootKey(_)
            | Command::Include(_) => {
                return None;
            }
        })
    }

    fn write(&self, el: El, out: &mut String) -> fmt::Result {
        match self {
            Command::Cdrom | Command::Url(_) => {
                if let Some(line) = el.install_line() {
                    writeln!(out, "{line}")?;
                }
                match self {
                    Command::Url(url) => writeln!(out, "url --url={url}"),
                    _ => writeln!(out, "cdrom"),
                }
            }
            Command::Repository { name, url } => writeln!(out, "repo --name={name} --baseurl={url} --cost=1"),
            Command::Unattended => writeln!(out, "{}", el.mode_line()),
            Command::Module { name, stream } => writeln!(out, "module --name={name} --stream={stream}"),
            Command::English => {
                writeln!(out, "lang en_US.UTF-8\nkeyboard --vckeymap=us --xlayouts='us'")
            }
            Command::Utc { servers } => write_time(el, servers, out),
            Command::Auth => writeln!(out, "{}", el.auth_line()),
            Command::RootPassword(password) => out.write_str(&password.line()),
            // Within double quotes the kickstart's lexer takes a backslash specially, as a shell does.
            Command::RootKey(key) => {
                writeln!(out, "sshkey --username=root \"{}\"", key.as_str().replace('\\', "\\\\"))
            }
            Command::Selinux(Selinux::Enforcing) => writeln!(out, "selinux --enforcing"),
            Command::Selinux(Selinux::Permissive) => writeln!(out, "selinux --permissive"),
            Command::Firewall(Firewall::Enabled) => writeln!(out, "firewall --enabled --ssh"),
            Command::Firewall(Firewall::Disabled) => writeln!(out, "firewall --disabled"),
            Command::NoQuestions => writeln!(out, "firstboot --disable\neula --agreed\nskipx"),
            Command::Reboot => writeln!(out, "reboot --eject"),
            Command::Include(path) => writeln!(out, "%include {path}"),
        }
    }
}

fn write_time(el: El, servers: &[Word], out: &mut String) -> fmt::Result {
    write!(out, "timezone Etc/UTC --utc")?;
    if servers.is_empty() || el.has_timesource() {
        writeln!(out)?;
    } else {
        writeln!(out, " --ntpservers={}", join(servers, ","))?;
    }
    match el.has_timesource() {
        true => servers.iter().try_for_each(|server| writeln!(out, "timesource --ntp-server={server}")),
        false => Ok(()),
    }
}

fn join(words: &[Word], between: &str) -> String {
    words.iter().map(Word::as_str).collect::<Vec<_>>().join(between)
}

/// When a script runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Before the kickstart is parsed. Its failure stops the installation.
    Pre,
    /// After partitioning, before packages. Its failure stops the installation.
    PreInstall,
    /// After it, outside the new system. Its failure stops the installation.
    PostOutside,
    /// After it, inside the new system. Its failure stops the installation.
    PostInside,
    /// Last of all, outside the new system. Its failure stops the installation.
    Finish,
    /// When the installation failed.
    OnError,
}

impl Stage {
    fn header(self) -> &'static str {
        match self {
            Stage::Pre => "%pre --interpreter=/bin/bash --erroronfail --log=/tmp/kiln-pre.log",
            Stage::PostOutside => {
                "%post --nochroot --interpreter=/bin/bash --erroronfail --log=/tmp/kiln-place.log"
            }
            Stage::PreInstall => {
                "%pre-install --interpreter=/bin/bash --erroronfail --log=/tmp/kiln-bind.log"
            }
            Stage::Finish => {
                "%post --nochroot --interpreter=/bin/bash --erroronfail --log=/tmp/kiln-finish.log"
            }
            Stage::PostInside => "%post --interpreter=/bin/bash --erroronfail --log=/var/log/kiln-post.log",
            Stage::OnError => "%onerror --interpreter=/bin/bash",
        }
    }
}

/// A whole kickstart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kickstart {
    el: El,
    title: String,
    commands: Vec<Command>,
    packages: Vec<Word>,
    scripts: Vec<(Stage, String)>,
}

impl Kickstart {
    /// A kickstart without commands. The title is a line of comment.
    pub fn new(el: El, title: &str) -> Self {
        let title = title.chars().filter(|c| !c.is_control()).collect();
        Self { el, title, commands: Vec::new(), packages: Vec::new(), scripts: Vec::new() }
    }

    /// Adds a command; an error if the kickstart holds one that excludes it.
    pub fn add(&mut self, command: Command) -> Result<()> {
        let repeated = match command.key() {
            Some(key) => self.commands.iter().any(|other| other.key() == Some(key)).then_some(key),
            None => self.commands.contains(&command).then_some("the same line"),
        };
        if let Some(what) = repeated {
            return Err(Error::input(format!("the kickstart is told twice about {what}")));
        }
        self.commands.push(command);
        Ok(())
    }

    /// Adds a package.
    pub fn add_package(&mut self, name: &str) -> Result<()> {
        let word = Word::new("package", name)?;
        let start = name.chars().next().is_some_and(|c| c.is_ascii_alphanumeric() || c == '@');
        if !start || name.contains('%') {
            return Err(Error::input(format!("`{name}` is no name of a package or group")));
        }
        if !self.packages.contains(&word) {
            self.packages.push(word);
        }
        Ok(())
    }

    /// Adds a script; `name` is its file, for messages.
    pub fn add_script(&mut self, stage: Stage, name: &str, body: String) -> Result<()> {
        if let Some(line) = body.lines().find(|line| line.trim_start().starts_with('%')) {
            return Err(Error::input(format!(
                "{name}: the line `{}` would end the script",
                line.escape_debug()
            ))
            .hint("no line of a script in a kickstart may start with `%`"));
        }
        self.scripts.push((stage, body));
        Ok(())
    }

    /// The scripts, as they are run.
    pub fn scripts(&self) -> &[(Stage, String)] {
        &self.scripts
    }

    fn write(&self, out: &mut String) -> fmt::Result {
        writeln!(out, "#version=RHEL{}\n# {}", self.el.major(), self.title)?;
        self.commands.iter().try_for_each(|command| command.write(self.el, out))?;
        let (options, environment) = (self.el.packages_options(), self.el.environment());
        writeln!(out, "\n%packages {options}\n{environment}\n{CORE}")?;
        self.packages.iter().try_for_each(|package| writeln!(out, "{package}"))?;
        // Wireless firmware is of no use to a node, and large.
        writeln!(out, "-iwl*-firmware\n%end\n\n%addon com_redhat_kdump --disable\n%end")?;
        for (stage, body) in &self.scripts {
            writeln!(out, "\n{}\n{}\n%end", stage.header(), body.trim_end())?;
        }
        Ok(())
    }
}

impl fmt::Display for Kickstart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = String::new();
        self.write(&mut out)?;
        f.write_str(&out)
    }
}
