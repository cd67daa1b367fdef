//! `kiln key`: makes the keys that media are signed with. A secret key is never printed.

use std::path::{Path, PathBuf};

use serde_json::json;

use crate::error::{Error, Result};
use crate::report::Report;
use crate::sign;

/// The variable that a password is taken from, where nobody sits at a terminal.
pub const PASSWORD: &str = "KILN_KEY_PASSWORD";

/// Arguments of `kiln key`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// What to do
    #[command(subcommand)]
    pub action: Action,
}

/// What `kiln key` can do.
#[derive(Debug, clap::Subcommand)]
pub enum Action {
    /// Make a secret key, and beside it the public key with the ending .pub
    Create(Create),
}

/// Arguments of `kiln key create`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  kiln key create ops.key                  # asks for a password; ops.pub too
  KILN_KEY_PASSWORD=... kiln key create ops.key
  kiln key create --no-password ci.key")]
pub struct Create {
    /// File of the secret key; must not exist
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// Leave the secret key unencrypted: whoever reads the file can sign
    #[arg(long)]
    pub no_password: bool,
    /// Print the result as JSON on standard output
    #[arg(long)]
    pub json: bool,
}

/// Runs the command.
pub fn run(args: &Args, report: &Report) -> Result<()> {
    let Action::Create(args) = &args.action;
    let (secret, public) = (&args.file, args.file.with_extension("pub"));
    if *secret == public || secret.file_name().is_none() {
        return Err(Error::input(format!("{} is no name for a secret key", secret.display()))
            .hint("the public key gets the ending .pub: name the secret one `ops.key`"));
    }
    // Before anybody thinks of a password.
    if let Some(there) = [secret, &public].into_iter().find(|path| std::fs::symlink_metadata(path).is_ok()) {
        return Err(Error::input(format!("{} exists already", there.display()))
            .hint("keys are never replaced: choose another name, or move the old key away"));
    }
    let password = if args.no_password { None } else { Some(new_password()?) };
    let created = sign::create(password)?;
    sign::save(&created, secret, &public)?;
    if args.json {
        let result = json!({ "secret": secret, "public": public, "id": created.id.to_string() });
        report.data(&format!("{result}\n"));
        return Ok(());
    }
    report.note(&format!("made {} and {}, key {}", secret.display(), public.display(), created.id));
    report.note("     Keep the first secret; give the second to whoever verifies, by a way that is trusted.");
    Ok(())
}

/// The password of a key that exists.
pub fn password(file: &Path) -> Result<String> {
    match from_environment()? {
        Some(password) => Ok(password),
        None => prompt(&format!("Password of {}: ", file.display())),
    }
}

fn new_password() -> Result<String> {
    let hint = "give one, or say --no-password";
    if let Some(password) = from_environment()? {
        return if password.is_empty() {
            Err(Error::input(format!("{PASSWORD} is empty")).hint(hint))
        } else {
            Ok(password)
        };
    }
    let first = prompt("Password for the new key: ")?;
    if first.is_empty() {
        return Err(Error::input("the password is empty").hint(hint));
    }
    if prompt("The same again: ")? != first {
        return Err(Error::input("the two passwords differ").hint("try again"));
    }
    Ok(first)
}

fn from_environment() -> Result<Option<String>> {
    match std::env::var(PASSWORD) {
        Ok(password) => Ok(Some(password)),
        Err(std::env::VarError::NotPresent) => Ok(None),
        Err(std::env::VarError::NotUnicode(_)) => {
            Err(Error::input(format!("{PASSWORD} is no UTF-8")).hint("use a password that is"))
        }
    }
}

fn prompt(text: &str) -> Result<String> {
    rpassword::prompt_password(text).map_err(|error| {
        Error::input("a password is needed, and there is no terminal to ask at")
            .because(error)
            .hint(format!("set {PASSWORD}; for a key without a password: `kiln key create --no-password`"))
    })
}
