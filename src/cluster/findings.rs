//! The collector of findings while a file is checked: all of them, in the file's order, and never more than a screenful
//! of screens.

use std::ops::Range;
use std::path::Path;

use super::diag::{Diagnostic, Severity};
use super::rule::Rule;
use crate::error::Error;

/// Most findings that are kept of one file; a hostile file may have a million.
const MOST: usize = 100;
/// Most characters of a value that a message repeats.
const SHOWN: usize = 60;

/// Where a value stands.
#[derive(Debug, Clone, Default)]
pub(super) struct At {
    /// Dotted key: `node[2].address`.
    pub key: String,
    /// Bytes of the file.
    pub span: Option<Range<usize>>,
}

impl At {
    pub fn new(key: impl Into<String>, span: Range<usize>) -> Self {
        Self { key: key.into(), span: Some(span) }
    }
}

/// Findings about one file.
#[derive(Debug)]
pub(super) struct Findings<'f> {
    file: &'f Path,
    list: Vec<Diagnostic>,
    dropped: usize,
    errors: usize,
}

impl<'f> Findings<'f> {
    pub fn new(file: &'f Path) -> Self {
        Self { file, list: Vec::new(), dropped: 0, errors: 0 }
    }

    /// Whether more findings would only be counted; spares the work of wording them.
    pub fn full(&self) -> bool {
        self.list.len() >= MOST
    }

    /// Number of errors so far.
    pub fn errors(&self) -> usize {
        self.errors
    }

    /// Whether there is a finding about this very key.
    pub fn knows(&self, key: &str) -> bool {
        self.list.iter().any(|found| found.key == key)
    }

    /// Whether there is a finding about a key that begins like this.
    pub fn knows_below(&self, prefix: &str) -> bool {
        self.list.iter().any(|found| found.key.starts_with(prefix))
    }

    /// Adds an error.
    pub fn error(&mut self, rule: Rule, at: &At, message: impl Into<String>) -> Added<'_> {
        self.errors += 1;
        self.add(Severity::Error, rule, at, message.into())
    }

    /// Adds a warning.
    pub fn warning(&mut self, rule: Rule, at: &At, message: impl Into<String>) -> Added<'_> {
        self.add(Severity::Warning, rule, at, message.into())
    }

    fn add(&mut self, severity: Severity, rule: Rule, at: &At, message: String) -> Added<'_> {
        // Errors go before warnings where room is short.
        if self.full()
            && severity == Severity::Error
            && let Some(spare) = self.list.iter().rposition(|found| found.severity == Severity::Warning)
        {
            self.list.remove(spare);
            self.dropped += 1;
        }
        if self.full() {
            self.dropped += 1;
            return Added(None);
        }
        self.list.push(Diagnostic {
            severity,
            rule: rule.name(),
            message,
            key: at.key.clone(),
            file: self.file.to_owned(),
            span: at.span.clone(),
            related: None,
            hint: None,
        });
        Added(self.list.last_mut())
    }

    /// The findings in the order of the file: warnings alone, or the error that carries all of them.
    pub fn finish(mut self) -> Result<Vec<Diagnostic>, Error> {
        self.list.sort_by_key(|found| found.span.as_ref().map_or(0, |span| span.start));
        if self.errors == 0 {
            return Ok(self.list);
        }
        let count = if self.errors == 1 { "1 error".to_owned() } else { format!("{} errors", self.errors) };
        let mut message = format!("{} has {count}", self.file.display());
        if self.dropped > 0 {
            message += &format!("; {} findings are not shown", self.dropped);
        }
        Err(Error::diagnostics(message, self.list))
    }
}

/// A finding just added, to be completed.
pub(super) struct Added<'a>(Option<&'a mut Diagnostic>);

impl Added<'_> {
    /// Adds what to do now.
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        if let Some(found) = self.0.as_deref_mut() {
            found.hint = Some(hint.into());
        }
        self
    }

    /// Adds a second place that belongs to it.
    pub fn related(mut self, at: &At, label: impl Into<String>) -> Self {
        if let (Some(found), Some(span)) = (self.0.as_deref_mut(), &at.span) {
            found.related = Some((span.clone(), label.into()));
        }
        self
    }
}

/// A value as messages repeat it: on one line, and not too long.
pub(super) fn shown(value: &str) -> String {
    let mut out: String = value.chars().take(SHOWN).flat_map(char::escape_debug).collect();
    if value.chars().nth(SHOWN).is_some() {
        out.push('…');
    }
    format!("`{out}`")
}
