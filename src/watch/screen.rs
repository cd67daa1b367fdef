//! What is written for each look: on a terminal the whole board in place of the former one, in a pipe what is new, a line each.
//!
//! It writes nothing itself and knows no terminal but by what it was told.

use super::text::{Line, paint};

/// Clears a terminal and goes to its top (ECMA-48 8.3.39 and 8.3.21).
const CLEAR: &str = "\u{1b}[2J\u{1b}[H";

/// Where the looks go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Surface {
    /// Anywhere, one look and no more.
    Once,
    /// A terminal, which shows the last look.
    Terminal,
    /// A pipe or file, which keeps all.
    Pipe,
}

/// What has been shown so far.
#[derive(Debug)]
pub struct Screen {
    surface: Surface,
    color: bool,
    shown: Vec<Line>,
}

impl Screen {
    /// Nothing has been shown yet.
    pub fn new(surface: Surface, color: bool) -> Self {
        Self { surface, color, shown: Vec::new() }
    }

    /// What to write for the next look. In a pipe a line that changed is told as it is now; one that is gone for good ("request
    /// waiting") needs no word.
    pub fn next(&mut self, lines: Vec<Line>) -> String {
        let text = match self.surface {
            Surface::Once => paint(&lines, self.color),
            Surface::Terminal => format!("{CLEAR}{}", paint(&lines, self.color)),
            Surface::Pipe => {
                let new: Vec<Line> =
                    lines.iter().filter(|line| !self.shown.contains(line)).cloned().collect();
                paint(&new, self.color)
            }
        };
        self.shown = lines;
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn look(lines: &[(&str, bool)]) -> Vec<Line> {
        lines.iter().map(|(text, fault)| Line { text: (*text).to_owned(), fault: *fault }).collect()
    }

    #[test]
    fn a_terminal_gets_the_whole_board_each_time() {
        let mut screen = Screen::new(Surface::Terminal, true);
        let (well, ill) = (look(&[("a", false), ("b", false)]), look(&[("a", false), ("b is gone", true)]));
        assert_eq!(screen.next(well.clone()), "\u{1b}[2J\u{1b}[Ha\nb\n");
        assert_eq!(screen.next(well), "\u{1b}[2J\u{1b}[Ha\nb\n");
        assert_eq!(screen.next(ill), "\u{1b}[2J\u{1b}[Ha\n\u{1b}[31mb is gone\u{1b}[0m\n");
    }

    #[test]
    fn a_pipe_gets_what_is_new() {
        let mut screen = Screen::new(Surface::Pipe, false);
        assert_eq!(screen.next(look(&[("a", false), ("b", false)])), "a\nb\n");
        assert_eq!(screen.next(look(&[("a", false), ("b", false)])), "");
        assert_eq!(screen.next(look(&[("a", false), ("b", true)])), "b\n");
        assert_eq!(screen.next(look(&[("a", false)])), "");
        assert_eq!(screen.next(look(&[("a", false), ("b", true)])), "b\n", "it was gone meanwhile");
    }

    #[test]
    fn one_look_clears_nothing() {
        assert_eq!(Screen::new(Surface::Once, false).next(look(&[("a", true)])), "a\n");
    }
}
