//! A cluster as lines of text. What is wrong is a word of its own, so that colour adds nothing that is not there without it.

use super::Board;

/// A line, and how it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// What it says.
    pub text: String,
    /// Whether that is a fault.
    pub fault: bool,
}

/// The lines of a board.
pub fn lines(board: &Board) -> Vec<Line> {
    let mut all = Vec::new();
    let mut add = |fault: bool, text: String| all.push(Line { text: text.trim_end().to_owned(), fault });
    let state = if board.well { "all is well" } else { "something is wrong" };
    add(!board.well, format!("API {} of {}: {state}", board.api, board.version));
    let width = board.nodes.iter().map(|node| node.name.len()).max().unwrap_or(0);
    for node in &board.nodes {
        let pods = node.pods.map(|pods| format!("{pods} pods")).unwrap_or_default();
        add(
            node.state != "ready",
            format!(
                "node      {:width$}  {:9}  {:9}  {:15}  {:20}  {pods}",
                node.name, node.state, node.version, node.address, node.roles
            ),
        );
        if !node.why.is_empty() {
            add(true, format!("          {:width$}  {}", "", node.why));
        }
    }
    for one in &board.workloads {
        add(
            one.ready < one.wanted,
            format!("workload  {}  {} of {} pods ready", one.name, one.ready, one.wanted),
        );
    }
    for request in &board.waiting {
        add(false, format!("request   waiting: {request}"));
    }
    for request in &board.refused {
        add(true, format!("request   {request}"));
    }
    for end in &board.ends {
        let days = match end.days_left {
            ..0 => "it is over".to_owned(),
            days => format!("{days} days left"),
        };
        add(end.soon(), format!("until     {}  {}, {days}", end.end, end.what));
    }
    all
}

/// The lines with colour or without.
pub fn paint(lines: &[Line], color: bool) -> String {
    let line = |line: &Line| match color && line.fault {
        true => format!("\u{1b}[31m{}\u{1b}[0m\n", line.text),
        false => format!("{}\n", line.text),
    };
    lines.iter().map(line).collect()
}
