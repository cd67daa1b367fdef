//! Findings about an input file: where, what, which rule, what to do. All of a file's findings are reported at once.
//!
//! A finding is plain data; drawing it (source line, caret, colour) is the job of `report`.

use std::ops::Range;
use std::path::PathBuf;

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Nothing is built.
    Error,
    /// Worth knowing; the build goes on.
    Warning,
}

/// One finding about one place of one file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    /// Error or warning.
    pub severity: Severity,
    /// Stable name of the rule, as in the documentation: `cidr-overlap`.
    pub rule: &'static str,
    /// What is wrong, naming key and value.
    pub message: String,
    /// Dotted key of the value: `node[2].address`; empty for the whole file.
    pub key: String,
    /// The file and its text, for the source line.
    pub file: PathBuf,
    /// Bytes of the file that are meant; `None` when no place can be named.
    pub span: Option<Range<usize>>,
    /// A second place that belongs to it ("first used here"), with its label.
    pub related: Option<(Range<usize>, String)>,
    /// What to do now.
    pub hint: Option<String>,
}
