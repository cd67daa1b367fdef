//! What a package provides, requires, conflicts with or obsoletes: a name and, perhaps, a range of versions. Boolean ("rich")
//! dependencies are kept as the text they are, and judged by nobody here.

use std::cmp::Ordering;
use std::fmt;

use super::evr::Evr;

/// Bits of a dependency's flags in a header (rpm's `rpmds.h`, RPMSENSE).
const LESS: u32 = 1 << 1;
const GREATER: u32 = 1 << 2;
const EQUAL: u32 = 1 << 3;
/// Required before the package, or its scripts, can be installed: PREREQ, SCRIPT_PRE, SCRIPT_POST.
const PRE: u32 = 1 << 6 | 1 << 9 | 1 << 10;
/// A feature of rpm itself.
const RPMLIB: u32 = 1 << 24;

/// How a version is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Sense {
    /// Before.
    Less,
    /// Before, or the same.
    LessEqual,
    /// The same.
    Equal,
    /// The same, or after.
    GreaterEqual,
    /// After.
    Greater,
}

/// All senses with their name in repodata and their sign.
const SENSES: [(Sense, &str, &str, u32); 5] = [
    (Sense::Less, "LT", "<", LESS),
    (Sense::LessEqual, "LE", "<=", LESS | EQUAL),
    (Sense::Equal, "EQ", "=", EQUAL),
    (Sense::GreaterEqual, "GE", ">=", GREATER | EQUAL),
    (Sense::Greater, "GT", ">", GREATER),
];

impl Sense {
    /// The sense that the flags of a header give, if any.
    pub fn of_flags(flags: u32) -> Option<Self> {
        let bits = flags & (LESS | GREATER | EQUAL);
        SENSES.iter().find(|row| row.3 == bits).map(|row| row.0)
    }

    /// The sense of a name in repodata: `GE`.
    pub fn named(name: &str) -> Option<Self> {
        SENSES.iter().find(|row| row.1 == name).map(|row| row.0)
    }

    /// The name in repodata.
    pub fn name(self) -> &'static str {
        SENSES.iter().find(|row| row.0 == self).map_or("EQ", |row| row.1)
    }

    fn sign(self) -> &'static str {
        SENSES.iter().find(|row| row.0 == self).map_or("=", |row| row.2)
    }

    fn less(self) -> bool {
        matches!(self, Sense::Less | Sense::LessEqual)
    }

    fn greater(self) -> bool {
        matches!(self, Sense::Greater | Sense::GreaterEqual)
    }

    fn equal(self) -> bool {
        matches!(self, Sense::LessEqual | Sense::Equal | Sense::GreaterEqual)
    }
}

/// A dependency.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Dependency {
    /// Name: of a package, a library, a file or whatever packages agreed upon.
    pub name: String,
    /// Versions.
    pub range: Option<(Sense, Evr)>,
    /// Whether it must be there before the package is installed.
    pub pre: bool,
    /// Whether it is a feature of rpm itself.
    pub rpmlib: bool,
}

impl Dependency {
    /// A dependency on a name, in any version.
    pub fn on(name: impl Into<String>) -> Self {
        let name = name.into();
        let rpmlib = name.starts_with("rpmlib(");
        Self { name, range: None, pre: false, rpmlib }
    }

    /// A dependency as a header has it.
    pub fn of_header(name: String, flags: u32, version: &str) -> Self {
        let range = Sense::of_flags(flags).filter(|_| !version.is_empty());
        let rpmlib = flags & RPMLIB != 0 || name.starts_with("rpmlib(");
        Self { name, range: range.map(|sense| (sense, Evr::parse(version))), pre: flags & PRE != 0, rpmlib }
    }

    /// Whether it is a boolean dependency: `(a if b)`.
    pub fn is_rich(&self) -> bool {
        self.name.starts_with('(')
    }

    /// Whether it is on a file.
    pub fn is_file(&self) -> bool {
        self.name.starts_with('/')
    }

    /// Whether what a package provides is this. Names must be the same; a side without versions is of any.
    pub fn is_met_by(&self, provided: &Dependency) -> bool {
        let (Some((wants, a)), Some((has, b))) = (&self.range, &provided.range) else {
            return self.name == provided.name;
        };
        self.name == provided.name
            && match a.order(b) {
                Ordering::Less => wants.greater() || has.less(),
                Ordering::Greater => wants.less() || has.greater(),
                Ordering::Equal => {
                    (wants.equal() && has.equal())
                        || (wants.less() && has.less())
                        || (wants.greater() && has.greater())
                }
            }
    }
}

impl fmt::Display for Dependency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)?;
        match &self.range {
            Some((sense, evr)) => write!(f, " {} {evr}", sense.sign()),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dependency(text: &str) -> Dependency {
        let words: Vec<&str> = text.split(' ').collect();
        let range = words.get(1).map(|sign| {
            let row = SENSES.iter().find(|row| row.2 == *sign).unwrap();
            (row.0, Evr::parse(words[2]))
        });
        Dependency { range, ..Dependency::on(words[0]) }
    }

    #[test]
    fn ranges_meet_where_they_overlap() {
        for (wants, has) in [
            ("a", "a"),
            ("a", "a = 1"),
            ("a = 1", "a"),
            ("a = 1", "a = 1-5"),
            ("a >= 1", "a = 2-1"),
            ("a > 1", "a = 1:0.5"),
            ("a < 2", "a = 1-1"),
            ("a <= 1-1", "a = 1-1"),
            ("a < 2", "a >= 1"),
            ("a > 5", "a >= 1"),
            ("a = 3", "a > 2"),
        ] {
            assert!(dependency(wants).is_met_by(&dependency(has)), "{wants} by {has}");
        }
        for (wants, has) in [
            ("a", "b"),
            ("a = 1", "a = 2"),
            ("a = 1-1", "a = 1-2"),
            ("a >= 1:1", "a = 2-1"),
            ("a > 1", "a = 1-1"),
            ("a < 1", "a = 1"),
            ("a < 1", "a >= 1"),
            ("a = 1", "a > 2"),
        ] {
            assert!(!dependency(wants).is_met_by(&dependency(has)), "{wants} by {has}");
        }
    }

    #[test]
    fn flags_of_headers_are_read() {
        let found = Dependency::of_header("a".into(), GREATER | EQUAL | 1 << 9, "1:2-3");
        assert_eq!((found.to_string().as_str(), found.pre), ("a >= 1:2-3", true));
        assert!(Dependency::of_header("rpmlib(X)".into(), LESS | EQUAL | RPMLIB, "4.0-1").rpmlib);
        assert_eq!(Dependency::of_header("a".into(), EQUAL, "").range, None);
        assert_eq!(Dependency::of_header("a".into(), LESS | GREATER, "1").range, None);
        for (sense, name, _, flags) in SENSES {
            assert_eq!((Sense::named(name), sense.name()), (Some(sense), name));
            assert_eq!(Sense::of_flags(flags), Some(sense));
        }
    }
}
