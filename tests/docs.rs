//! What is generated is checked in, and a change that forgets to regenerate it fails here. Help fits a terminal of 80 columns.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

fn files(root: &Path) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in
            std::fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
        {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let name = path.strip_prefix(root).unwrap().display().to_string();
                found.insert(name, std::fs::read_to_string(&path).unwrap());
            }
        }
    }
    found
}

#[test]
fn generated_files_have_not_drifted() {
    let fresh = tempfile::tempdir().unwrap();
    let status = Command::new(env!("CARGO_BIN_EXE_kiln")).arg("docs").arg(fresh.path()).status().unwrap();
    assert!(status.success());
    let (fresh, kept) =
        (files(fresh.path()), files(&Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/generated")));
    let names = |map: &BTreeMap<String, String>| map.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(&fresh), names(&kept), "run `make docs` and commit docs/generated");
    for (name, text) in &fresh {
        assert!(kept[name] == *text, "docs/generated/{name} has drifted: run `make docs` and commit it");
    }
}

fn help(words: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_kiln")).args(words).arg("--help").output().unwrap();
    assert!(output.status.success(), "kiln {words:?} --help");
    String::from_utf8(output.stdout).unwrap()
}

/// Names of the subcommands that a help text lists.
fn subcommands(text: &str) -> Vec<String> {
    text.lines()
        .skip_while(|line| *line != "Commands:")
        .skip(1)
        .take_while(|line| !line.is_empty())
        .filter(|line| line.starts_with("  ") && !line.starts_with("   "))
        .filter_map(|line| line.split_whitespace().next().map(str::to_owned))
        .filter(|name| name != "help")
        .collect()
}

#[test]
fn help_fits_eighty_columns_and_has_examples() {
    let mut queue = vec![Vec::<String>::new()];
    let mut seen = 0;
    while let Some(words) = queue.pop() {
        let text = help(&words.iter().map(String::as_str).collect::<Vec<_>>());
        for line in text.lines() {
            assert!(line.chars().count() <= 80, "kiln {words:?} --help: {line}");
        }
        let below = subcommands(&text);
        if below.is_empty() {
            assert!(text.contains("Example"), "kiln {words:?} --help shows no example");
        }
        queue.extend(below.into_iter().map(|name| words.iter().cloned().chain([name]).collect()));
        seen += 1;
    }
    assert!(seen > 8, "only {seen} help texts were found");
}

/// What the page on troubleshooting quotes of the installation is what kiln says: every part of a message between two gaps.
#[test]
fn messages_of_the_installation_are_quoted_as_they_are() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let sources: String =
        ["src", "kickstart"].iter().flat_map(|name| files(&root.join(name)).into_values()).collect();
    // A backslash at the end of a line joins it with the next one.
    let mut lines = sources.split("\\\n");
    let first = lines.next().unwrap().to_owned();
    let sources = lines.fold(first, |text, line| text + line.trim_start());
    let page = std::fs::read_to_string(root.join("docs/troubleshooting.md")).unwrap();
    let section = page.split("\n## ").find(|part| part.starts_with("While installing")).unwrap();
    let cells = section.lines().filter_map(|line| line.strip_prefix("| `")?.split("` | ").next());
    let parts: Vec<&str> = cells.flat_map(|cell| cell.split(['…', '`'])).map(str::trim).collect();
    let quoted: Vec<&str> = parts.into_iter().filter(|part| part.len() > 8).collect();
    assert!(quoted.len() > 30, "{quoted:?}");
    let gone: Vec<&&str> = quoted.iter().filter(|part| !sources.contains(**part)).collect();
    assert!(gone.is_empty(), "docs/troubleshooting.md quotes what kiln does not say: {gone:?}");
}
