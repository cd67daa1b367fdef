//! The one error type of the library.
//!
//! What went wrong, in which class (the class decides the exit code), what to do now, and what lay beneath. Library code
//! returns it and never prints; `report` shows it.

use std::fmt;
use std::path::Path;

use crate::cluster::diag::Diagnostic;

/// Result with kiln's own [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Class of a failure. It decides the exit code of the process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// A fault of kiln itself: exit code 1.
    Internal,
    /// What was tested did not pass: exit code 1.
    Failed,
    /// What the user gave is wrong (file, medium, option): exit code 2.
    Input,
    /// A program that the task needs is missing or failed: exit code 3.
    Tool,
    /// The network or the other end of it: exit code 4.
    Network,
    /// Reading or writing failed, or there is no room: exit code 5.
    Io,
}

impl Class {
    /// Exit code of the process for this class.
    pub fn exit_code(self) -> u8 {
        match self {
            Class::Internal | Class::Failed => 1,
            Class::Input => 2,
            Class::Tool => 3,
            Class::Network => 4,
            Class::Io => 5,
        }
    }
}

/// An error with its class, a hint, its cause and, for a checked file, all of its diagnostics.
#[derive(Debug)]
pub struct Error(Box<Inner>);

#[derive(Debug)]
struct Inner {
    class: Class,
    message: String,
    hint: Option<String>,
    diagnostics: Vec<Diagnostic>,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl Error {
    /// A failure of the given class. The message is a full sentence without a final stop.
    pub fn new(class: Class, message: impl Into<String>) -> Self {
        let message = message.into();
        Error(Box::new(Inner { class, message, hint: None, diagnostics: Vec::new(), source: None }))
    }

    /// The user's input is wrong.
    pub fn input(message: impl Into<String>) -> Self {
        Self::new(Class::Input, message)
    }

    /// A needed program is missing or failed.
    pub fn tool(message: impl Into<String>) -> Self {
        Self::new(Class::Tool, message)
    }

    /// Reading or writing failed while doing `what` (a gerund: "reading") to `path`.
    pub fn io(what: &str, path: &Path, source: std::io::Error) -> Self {
        Self::new(Class::Io, format!("{what} {}", path.display())).because(source)
    }

    /// A fault of kiln itself.
    pub fn internal(message: impl Into<String>) -> Self {
        Self::new(Class::Internal, message)
    }

    /// Several findings about one file, all reported at once.
    pub fn diagnostics(message: impl Into<String>, diagnostics: Vec<Diagnostic>) -> Self {
        let mut error = Self::input(message);
        error.0.diagnostics = diagnostics;
        error
    }

    /// Adds what to do now.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.0.hint = Some(hint.into());
        self
    }

    /// Adds a hint where there is none yet.
    #[must_use]
    pub fn or_hint(self, hint: &str) -> Self {
        if self.hint_text().is_some() { self } else { self.hint(hint) }
    }

    /// Adds what lay beneath.
    #[must_use]
    pub fn because(mut self, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        self.0.source = Some(source.into());
        self
    }

    /// Puts what was being done in front of the message: `context: message`.
    #[must_use]
    pub fn context(mut self, context: impl fmt::Display) -> Self {
        self.0.message = format!("{context}: {}", self.0.message);
        self
    }

    /// Class of the failure.
    pub fn class(&self) -> Class {
        self.0.class
    }

    /// What to do now, if there is anything to say.
    pub fn hint_text(&self) -> Option<&str> {
        self.0.hint.as_deref()
    }

    /// Findings about a checked file; empty for other errors.
    pub fn findings(&self) -> &[Diagnostic] {
        &self.0.diagnostics
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.source.as_deref().map(|source| source as _)
    }
}

/// Names what was being done, and to which file, when an input or output operation fails.
pub trait IoContext<T> {
    /// `what` is a gerund: `file.read(..).at("reading", path)?`.
    fn at(self, what: &str, path: &Path) -> Result<T>;
}

impl<T> IoContext<T> for std::io::Result<T> {
    fn at(self, what: &str, path: &Path) -> Result<T> {
        self.map_err(|source| Error::io(what, path, source))
    }
}

/// Names what was being done when a kiln operation fails.
pub trait Context<T> {
    /// Puts `context` in front of the message.
    fn context(self, context: impl fmt::Display) -> Result<T>;
}

impl<T> Context<T> for Result<T> {
    fn context(self, context: impl fmt::Display) -> Result<T> {
        self.map_err(|error| error.context(context))
    }
}
