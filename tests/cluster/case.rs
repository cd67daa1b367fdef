//! The sample of `cluster.toml` with one fault, and the one finding that it gives.

use std::path::Path;

use kiln::cluster::diag::{Diagnostic, Severity};
use kiln::cluster::rule::Rule;
use kiln::cluster::{self, SAMPLE};

/// The sample, edited: `what` → `with`, at the first place it occurs.
pub struct Case {
    rule: Rule,
    edits: Vec<(String, String)>,
    key: &'static str,
    /// Text of the line that the finding points to; empty where it points nowhere.
    line: &'static str,
    severity: Severity,
}

pub fn error(rule: Rule, what: &str, with: &str, key: &'static str, line: &'static str) -> Case {
    Case { rule, edits: vec![(what.into(), with.into())], key, line, severity: Severity::Error }
}

pub fn warning(rule: Rule, what: &str, with: &str, key: &'static str, line: &'static str) -> Case {
    Case { severity: Severity::Warning, ..error(rule, what, with, key, line) }
}

impl Case {
    pub fn and(mut self, what: &str, with: &str) -> Self {
        self.edits.push((what.into(), with.into()));
        self
    }

    pub fn text(&self) -> String {
        self.edits.iter().fold(SAMPLE.to_owned(), |text, (what, with)| {
            assert!(text.contains(what.as_str()), "the sample has no `{what}`");
            text.replacen(what.as_str(), with, 1)
        })
    }
}

pub fn findings(text: &str) -> Vec<Diagnostic> {
    match cluster::parse(Path::new("cluster.toml"), text) {
        Ok((_, warnings)) => warnings,
        Err(error) => error.findings().to_vec(),
    }
}

pub fn line_of(text: &str, finding: &Diagnostic) -> String {
    let Some(span) = &finding.span else { return String::new() };
    let start = text[..span.start].rfind('\n').map_or(0, |at| at + 1);
    text[start..].lines().next().unwrap_or_default().to_owned()
}

pub fn verify(cases: &[Case]) {
    for case in cases {
        let text = case.text();
        let found = findings(&text);
        let seen: Vec<_> =
            found.iter().map(|found| (found.rule, found.key.as_str(), found.severity)).collect();
        assert_eq!(seen, [(case.rule.name(), case.key, case.severity)], "{:?}\n{found:#?}", case.edits);
        assert!(line_of(&text, &found[0]).contains(case.line), "{:?}\n{found:#?}", case.edits);
        assert_eq!(found[0].span.is_none(), case.line.is_empty(), "{found:#?}");
        assert!(!found[0].message.is_empty() && found[0].message.len() < 400, "{found:#?}");
    }
}
