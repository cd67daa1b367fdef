//! The only writer to the terminal: steps, progress, findings, errors. Data goes to standard output, all else to
//! standard error.
//!
//! On a terminal a long step shows rate and time left on one line; in a pipe each step is one plain line. `NO_COLOR` and
//! `--color` are obeyed (<https://no-color.org>).

#![allow(clippy::print_stdout, clippy::print_stderr)]

use std::io::{IsTerminal, Write};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::cluster::diag::{Diagnostic, Severity};
use crate::error::Error;
use crate::image::inspect::text::printable;
use crate::progress::Progress;

/// How messages are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum Color {
    /// Colour on a terminal unless `NO_COLOR` is set.
    #[default]
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// The reporter of a process.
#[derive(Debug)]
pub struct Report {
    color: bool,
    paints_data: bool,
    live: bool,
    quiet: bool,
    total: AtomicU64,
    done: AtomicU64,
    step: Mutex<Step>,
}

#[derive(Debug)]
struct Step {
    name: String,
    since: Instant,
    drawn: Instant,
    line_open: bool,
}

/// Shortest time between two drawings of a progress line.
const REDRAW: Duration = Duration::from_millis(100);

impl Report {
    /// A reporter for this process's standard streams. `quiet` drops steps and progress, never warnings or errors.
    pub fn new(color: Color, quiet: bool) -> Self {
        let terminal = std::io::stderr().is_terminal();
        let wanted = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        let on = |terminal: bool| match color {
            Color::Auto => terminal && wanted,
            Color::Always => true,
            Color::Never => false,
        };
        let (color, paints_data) = (on(terminal), on(std::io::stdout().is_terminal()));
        let now = Instant::now();
        let step = Mutex::new(Step { name: String::new(), since: now, drawn: now, line_open: false });
        let zero = || AtomicU64::new(0);
        Self { color, paints_data, live: terminal && !quiet, quiet, total: zero(), done: zero(), step }
    }

    /// Whether what goes to standard output may have colour.
    pub fn paints_data(&self) -> bool {
        self.paints_data
    }

    /// Writes data to standard output. A closed pipe is not an error.
    pub fn data(&self, text: &str) {
        let mut out = std::io::stdout().lock();
        let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    }

    /// Writes a line for the user to standard error.
    pub fn note(&self, text: &str) {
        if !self.quiet {
            self.line(&safe(text));
        }
    }

    /// Shows an error with its causes, findings and hint.
    pub fn error(&self, error: &Error) {
        for finding in error.findings() {
            self.diagnostic(finding);
        }
        self.line(&render_error(error, &|code, text| self.paint(code, text)));
    }

    /// Shows one finding with its source line, as rustc does.
    pub fn diagnostic(&self, finding: &Diagnostic) {
        self.line(&render_finding(finding, &|code, text| self.paint(code, text)));
    }

    fn paint(&self, code: &str, text: &str) -> String {
        if self.color { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }

    fn line(&self, text: &str) {
        let mut step = self.lock();
        self.close_line(&mut step);
        let _ = writeln!(std::io::stderr().lock(), "{text}");
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Step> {
        self.step.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn close_line(&self, step: &mut Step) {
        if std::mem::take(&mut step.line_open) {
            let _ = write!(std::io::stderr().lock(), "\r\x1b[K");
        }
    }

    fn draw(&self, step: &mut Step) {
        let (done, total) = (self.done.load(Ordering::Relaxed), self.total.load(Ordering::Relaxed));
        let line = progress_line(&step.name, done, total, step.since.elapsed());
        let _ = write!(std::io::stderr().lock(), "\r\x1b[K{line}");
        step.drawn = Instant::now();
        step.line_open = true;
    }
}

impl Progress for Report {
    fn step(&self, what: &str) {
        let mut step = self.lock();
        self.close_line(&mut step);
        self.done.store(0, Ordering::Relaxed);
        self.total.store(0, Ordering::Relaxed);
        step.name = safe(what);
        step.since = Instant::now();
        if !self.quiet {
            let _ = writeln!(std::io::stderr().lock(), "{} {}", self.paint("32;1", "==>"), safe(what));
        }
    }

    fn skip(&self, what: &str, why: &str) {
        if !self.quiet {
            self.line(&format!("{} {}", self.paint("2", "skip"), safe(&format!("{what}: {why}"))));
        }
    }

    fn total(&self, bytes: u64) {
        self.total.store(bytes, Ordering::Relaxed);
    }

    fn advance(&self, bytes: u64) {
        self.done.fetch_add(bytes, Ordering::Relaxed);
        if self.live
            && let Ok(mut step) = self.step.try_lock()
            && step.drawn.elapsed() >= REDRAW
        {
            self.draw(&mut step);
        }
    }

    fn warn(&self, message: &str) {
        self.line(&format!("{} {}", self.paint("33;1", "warning:"), safe(message)));
    }
}

/// One line of progress: `copying the base  512 MiB of 1.0 GiB, 210 MiB/s, 2 s left`.
fn progress_line(name: &str, done: u64, total: u64, elapsed: Duration) -> String {
    let seconds = elapsed.as_secs_f64().max(0.001);
    let rate = done as f64 / seconds;
    let mut line = format!("    {name}  {}", human_size(done));
    if total > 0 {
        line += &format!(" of {}", human_size(total));
    }
    line += &format!(", {}/s", human_size(rate as u64));
    if total > done && rate >= 1.0 {
        line += &format!(", {:.0} s left", (total - done) as f64 / rate);
    }
    line
}

/// A size as people read it: `512 B`, `1.5 MiB`.
pub fn human_size(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    let mut value = bytes as f64;
    let mut unit = 0;
    while value >= 1024.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    if unit == 0 { format!("{bytes} B") } else { format!("{value:.1} {}", UNITS[unit]) }
}

/// Line and column, from 1, of a byte of a text; columns count characters.
pub fn place(text: &str, at: usize) -> (usize, usize) {
    let (line, column, _) = locate(text, at);
    (line, column)
}

/// Where a byte lies: line and column from 1 (columns count characters), and the line's text.
fn locate(text: &str, at: usize) -> (usize, usize, &str) {
    let mut at = at.min(text.len());
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    let start = text[..at].rfind('\n').map_or(0, |newline| newline + 1);
    let end = text[at..].find('\n').map_or(text.len(), |newline| at + newline);
    let line = text[..at].matches('\n').count() + 1;
    (line, text[start..at].chars().count() + 1, text[start..end].trim_end_matches('\r'))
}

/// A message that may quote a foreign medium, a path or a file, made safe to print: line breaks and tabs stay.
fn safe(text: &str) -> String {
    let lines = text.split('\n').map(|line| line.split('\t').map(printable).collect::<Vec<_>>().join("\t"));
    lines.collect::<Vec<_>>().join("\n")
}

/// Draws an error with its causes and its hint.
fn render_error(error: &Error, paint: &dyn Fn(&str, &str) -> String) -> String {
    let mut text = format!("{} {}", paint("31;1", "error:"), safe(&error.to_string()));
    let mut cause = std::error::Error::source(error);
    while let Some(source) = cause {
        text += &format!("\n  {} {}", paint("2", "because:"), safe(&source.to_string()));
        cause = source.source();
    }
    if let Some(hint) = error.hint_text() {
        text += &format!("\n  {} {}", paint("36", "help:"), safe(hint));
    }
    text
}

/// Draws a finding. `paint(code, text)` colours or does not.
fn render_finding(finding: &Diagnostic, paint: &dyn Fn(&str, &str) -> String) -> String {
    let source = std::fs::read_to_string(&finding.file).unwrap_or_default();
    let (word, code) = match finding.severity {
        Severity::Error => ("error", "31;1"),
        Severity::Warning => ("warning", "33;1"),
    };
    let mut out =
        format!("{}: {}", paint(code, &format!("{word}[{}]", finding.rule)), safe(&finding.message));
    let file = printable(&finding.file.display().to_string());
    match &finding.span {
        None if finding.key.is_empty() => out += &format!("\n  --> {file}"),
        None => out += &format!("\n  --> {file}, {}", safe(&finding.key)),
        Some(span) => {
            let (line, column, text) = locate(&source, span.start);
            // A tab is one column wide, as it is counted.
            let text = printable(&text.replace('\t', " "));
            let width = line.to_string().len();
            let marks = source
                .get(span.clone())
                .and_then(|meant| meant.lines().next())
                .map_or(1, |l| l.chars().count().max(1));
            let pad = " ".repeat(width);
            out += &format!("\n{pad}--> {file}:{line}:{column}");
            out += &format!("\n{pad} |\n{line} | {text}");
            out += &format!("\n{pad} | {}{}", " ".repeat(column - 1), paint(code, &"^".repeat(marks)));
            if let Some((span, label)) = &finding.related {
                let (line, _, text) = locate(&source, span.start);
                let (text, label) = (printable(&text.replace('\t', " ")), safe(label));
                out += &format!(
                    "\n{line:>width$} | {text}\n{pad} | {}",
                    paint("36", &format!("{label} (line {line})"))
                );
            }
        }
    }
    if let Some(hint) = &finding.hint {
        out += &format!("\n  = {} {}", paint("36", "help:"), safe(hint));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn foreign_text_cannot_steer_the_terminal() {
        let cause = std::io::Error::other("b\u{9b}31m");
        let error = Error::input("label `a\u{1b}[2J\r`\nline 2").hint("c\u{202e}d").because(cause);
        let shown = render_error(&error, &|_, text| text.to_owned());
        let want = "error: label `a\\u{1b}[2J\\u{d}`\nline 2\n  because: b\\u{9b}31m\n  help: c\\u{202e}d";
        assert_eq!(shown, want);
        let finding = Diagnostic {
            severity: Severity::Error,
            rule: "rule",
            message: "x\u{7}y".into(),
            key: String::new(),
            file: "a\u{1b}.toml".into(),
            span: None,
            related: None,
            hint: None,
        };
        let shown = render_finding(&finding, &|_, text| text.to_owned());
        assert!(!shown.contains(['\u{1b}', '\u{7}']), "{shown:?}");
    }

    #[test]
    fn sizes_and_progress_read_well() {
        assert_eq!(human_size(512), "512 B");
        assert_eq!(human_size(3 << 29), "1.5 GiB");
        let line = progress_line("copying", 1 << 30, 2 << 30, Duration::from_secs(2));
        assert_eq!(line, "    copying  1.0 GiB of 2.0 GiB, 512.0 MiB/s, 2 s left");
    }

    #[test]
    fn places_are_counted_in_characters() {
        assert_eq!(locate("é = 1\nab", 3), (1, 3, "é = 1"));
        assert_eq!(locate("a\nbc", 3), (2, 2, "bc"));
        assert_eq!(locate("a", 99), (1, 2, "a"));
    }
}
