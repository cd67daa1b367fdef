//! `cluster.toml` as a whole: many faults at once, how they look, what any bytes do, and the tables that go with it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a failed test panics")]

mod common;

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use kiln::cluster::gates::{Combination, Verdict, default_proxy_mode};
use kiln::cluster::model::{ProxyMode, Runtime};
use kiln::cluster::types::{KubeVersion, Release};
use kiln::cluster::{self, SAMPLE};
use proptest::prelude::*;
use serde_json::Value;

/// A file with faults of every kind.
const FAULTY: &str = include_str!("fixtures/cluster/faulty.toml");

fn kiln(dir: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kiln"));
    command.args(arguments).current_dir(dir).env_remove("NO_COLOR");
    command.output().expect("kiln runs")
}

fn folder_with(text: &str) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("cluster.toml"), text).unwrap();
    dir
}

#[test]
fn all_faults_are_reported_at_once_and_drawn() {
    let error = cluster::parse(Path::new("cluster.toml"), FAULTY).unwrap_err();
    assert!(error.findings().len() >= 15, "{:#?}", error.findings());
    let dir = folder_with(FAULTY);
    let output = kiln(dir.path(), &["check"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(output.stdout.is_empty());
    let drawn = String::from_utf8(output.stderr).unwrap();
    assert!(!drawn.contains("hunter2"), "a value that may be a password was shown");
    common::golden("cluster/faulty.txt", &drawn);
}

#[test]
fn findings_are_data_too() {
    let dir = folder_with(FAULTY);
    let output = kiln(dir.path(), &["check", "--json"]);
    assert_eq!(output.status.code(), Some(2));
    let document: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(document["ok"], false);
    let findings = document["findings"].as_array().unwrap();
    let typo = findings.iter().find(|found| found["rule"] == "unknown-key").unwrap();
    assert_eq!(typo["key"], "cluster.kubernets");
    assert_eq!(typo["place"]["line"], 5);
    assert!(typo["hint"].as_str().unwrap().contains("`kubernetes`"));
}

#[test]
fn init_check_and_schema_agree() {
    let dir = tempfile::tempdir().unwrap();
    assert!(kiln(dir.path(), &["init", "new"]).status.success());
    let written = std::fs::read_to_string(dir.path().join("new/cluster.toml")).unwrap();
    assert_eq!(written, SAMPLE);
    let again = kiln(dir.path(), &["init", "new"]);
    assert_eq!(again.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&again.stderr).contains("--force"));
    assert!(kiln(dir.path(), &["init", "new", "--force"]).status.success());

    let checked = kiln(&dir.path().join("new"), &["check"]);
    assert!(checked.status.success() && checked.stderr.is_empty(), "{checked:?}");
    common::golden("cluster/check.txt", &String::from_utf8(checked.stdout).unwrap());

    let schema = kiln(dir.path(), &["schema"]);
    let printed: Value = serde_json::from_slice(&schema.stdout).unwrap();
    assert_eq!(printed, cluster::schema());
    assert_eq!(printed["$schema"], "https://json-schema.org/draft/2020-12/schema");
    common::golden("cluster/schema.json", &String::from_utf8(schema.stdout).unwrap());
}

/// Holds a value against the schema the way a validator does, with the words the schema uses; any other word fails.
fn validate(schema: &Value, value: &Value, path: &str) {
    const SILENT: [&str; 4] = ["$schema", "title", "description", "required"];
    for (word, rule) in schema.as_object().unwrap() {
        match word.as_str() {
            "type" => {
                let kind = match value {
                    Value::Object(_) => "object",
                    Value::Array(_) => "array",
                    Value::String(_) => "string",
                    Value::Bool(_) => "boolean",
                    _ => "integer",
                };
                assert_eq!(rule, kind, "{path}");
            }
            "properties" => {
                for (name, inner) in rule.as_object().unwrap() {
                    assert!(inner["description"].is_string(), "{path}.{name} has no description");
                    if let Some(value) = value.get(name) {
                        validate(inner, value, &format!("{path}.{name}"));
                    }
                }
            }
            "additionalProperties" => {
                for (name, value) in value.as_object().unwrap() {
                    if rule.is_object() {
                        validate(rule, value, &format!("{path}.{name}"));
                    } else {
                        assert!(!schema["properties"][name].is_null(), "{path}.{name}");
                    }
                }
            }
            "items" => {
                value.as_array().unwrap().iter().for_each(|item| validate(rule, item, &format!("{path}[]")))
            }
            "enum" => assert!(rule.as_array().unwrap().contains(value), "{path}"),
            "minimum" => assert!(value.as_i64() >= rule.as_i64(), "{path}"),
            "maximum" => assert!(value.as_i64() <= rule.as_i64(), "{path}"),
            "maxItems" => assert!(value.as_array().unwrap().len() as u64 <= rule.as_u64().unwrap(), "{path}"),
            "maxProperties" => {
                assert!(value.as_object().unwrap().len() as u64 <= rule.as_u64().unwrap(), "{path}")
            }
            "pattern" => assert!(value.is_string() && rule.as_str().unwrap().starts_with('^'), "{path}"),
            word => assert!(SILENT.contains(&word), "{path}: the test does not know `{word}`"),
        }
    }
    for name in schema["required"].as_array().into_iter().flatten() {
        assert!(!value[name.as_str().unwrap()].is_null(), "{path}.{name} is missing");
    }
}

#[test]
fn the_sample_fits_the_schema() {
    let sample: Value = toml::from_str(SAMPLE).unwrap();
    validate(&cluster::schema(), &sample, "");
}

/// What is commented out in the sample is right too: with every optional key switched on there are no faults but those of
/// the keys and hashes that are cut short on purpose.
#[test]
fn the_samples_comments_hold() {
    let key = |line: &&str| {
        let Some(rest) = line.strip_prefix("# ") else { return false };
        rest.starts_with('[') || rest.split(' ').nth(1) == Some("=")
    };
    let optional = SAMPLE.lines().filter(key).count();
    assert_eq!(optional, 30);
    let text: String = SAMPLE
        .lines()
        .map(|line| if key(&line) { format!("{}\n", &line[2..]) } else { format!("{line}\n") })
        .collect();
    let error = cluster::parse(Path::new("cluster.toml"), &text).unwrap_err();
    let rules: Vec<&str> = error.findings().iter().map(|found| found.rule).collect();
    assert_eq!(rules, ["bad-password-hash", "bad-ssh-key"], "{:#?}", error.findings());
}

/// Every minor, on every Enterprise Linux, with every runtime and proxy mode: one line each.
#[test]
fn gates_cover_every_combination() {
    let mut table = String::new();
    for el in 7..=10 {
        let release = Release::all().find(|release| release.el == el).unwrap();
        for minor in KubeVersion::OLDEST_MINOR..=KubeVersion::NEWEST_MINOR {
            // The first patch and a late one: some rules end within a minor.
            for patch in [0, 20] {
                let kubernetes = KubeVersion { minor, patch };
                let default = default_proxy_mode(kubernetes, release);
                let mut line = format!("el{el} {kubernetes} (default {})", default.as_str());
                for runtime in Runtime::ALL {
                    for proxy_mode in ProxyMode::ALL {
                        let verdict = verdict(Combination { kubernetes, release, runtime, proxy_mode });
                        write!(line, " {}+{}:{verdict}", runtime.as_str(), proxy_mode.as_str()).unwrap();
                    }
                }
                table += &line;
                table.push('\n');
            }
        }
    }
    assert_eq!(table.lines().count(), 4 * 20 * 2);
    common::golden("cluster/gates.txt", &table);
}

fn verdict(combination: Combination) -> &'static str {
    let has = |verdict| combination.gates().any(|gate| gate.verdict == verdict);
    match () {
        () if has(Verdict::Refused) => "refused",
        () if has(Verdict::Unsupported) => "switch",
        () if has(Verdict::Warned) => "warned",
        () => "ok",
    }
}

/// Parses, and gives up if it takes long. All that is found has its place inside the text.
fn bounded(text: &str) {
    let began = Instant::now();
    let findings = match cluster::parse(&PathBuf::from("cluster.toml"), text) {
        Ok((_, warnings)) => warnings,
        Err(error) => {
            assert!(!error.findings().is_empty(), "{error}");
            error.findings().to_vec()
        }
    };
    assert!(findings.len() <= 100);
    for found in findings {
        assert!(found.message.len() < 1000, "{}", found.message);
        assert!(found.span.is_none_or(|span| span.end <= text.len() && span.start <= span.end));
    }
    assert!(began.elapsed() < Duration::from_secs(10), "{:?} for {} bytes", began.elapsed(), text.len());
}

#[test]
fn hostile_files_are_bounded() {
    let fill = |unit: &str| unit.repeat(cluster::LARGEST_FILE / unit.len());
    let numbered = |count: usize, line: &dyn Fn(usize) -> String| (0..count).map(line).collect::<String>();
    bounded(&fill("[[node]]\n"));
    bounded(&fill("["));
    bounded(&fill("{a="));
    bounded(&fill("a."));
    bounded(&fill("\""));
    bounded(&numbered(60_000, &|i| format!("k{i} = {i}\n")));
    bounded(&numbered(30_000, &|i| format!("[k{i}.a.b.c.d]\n")));
    bounded(&format!("{} = 1", "k".repeat(1_000_000)));
    bounded(&format!("[access]\nssh_keys = [{}]", "\"a\",".repeat(200_000)));
    bounded(&format!("{SAMPLE}\nlabels = {{ {} }}", numbered(40_000, &|i| format!("l{i} = \"v\", "))));
    let same =
        "[[node]]\nname = \"a\"\nprofile = \"lb\"\naddress = \"10.0.0.1\"\nmac = \"52:54:00:00:31:72\"\n";
    bounded(&fill(same));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_text_is_read_without_a_panic(text in ".{0,400}") {
        bounded(&text);
    }

    #[test]
    fn any_bytes_are_read_without_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("cluster.toml");
        std::fs::write(&path, bytes).unwrap();
        prop_assert!(cluster::load(&path).is_err());
    }

    /// The sample with pieces cut out, doubled, or replaced by words that mean something.
    #[test]
    fn mutated_samples_are_read_without_a_panic(
        edits in proptest::collection::vec((0usize..SAMPLE.len(), 0usize..60, 0usize..WORDS.len()), 1..6),
    ) {
        let mut text: Vec<char> = SAMPLE.chars().collect();
        for (at, length, word) in edits {
            let start = at.min(text.len());
            let end = (start + length).min(text.len());
            text.splice(start..end, WORDS[word].chars());
        }
        bounded(&text.into_iter().collect::<String>());
    }

    /// Every value of the sample replaced by any other word: the file stays TOML, so the checks themselves are reached.
    #[test]
    fn odd_values_are_judged_without_a_panic(
        edits in proptest::collection::vec((0usize..60, 0usize..WORDS.len(), ".{0,12}"), 1..8),
    ) {
        let mut lines: Vec<String> = SAMPLE.lines().map(str::to_owned).collect();
        let values: Vec<usize> =
            (0..lines.len()).filter(|i| lines[*i].contains(" = ") && !lines[*i].starts_with('#')).collect();
        for (which, word, any) in edits {
            let line = &mut lines[values[which % values.len()]];
            let key = line.split(" = ").next().unwrap_or_default().to_owned();
            let value = if WORDS[word].is_empty() { format!("{any:?}") } else { WORDS[word].to_owned() };
            *line = format!("{key} = {value}");
        }
        bounded(&lines.join("\n"));
    }
}

/// What mutations put in.
const WORDS: [&str; 18] = [
    "",
    "\"\"",
    "\"0.0.0.0/0\"",
    "\"255.255.255.255/32\"",
    "\"192.168.31.71\"",
    "\"::/0\"",
    "\"1.18.65535\"",
    "-9223372036854775808",
    "0xffffffffffffffff",
    "nan",
    "1979-05-27T07:32:00Z",
    "[[]]",
    "{ size = \"18446744073709551615T..\" }",
    "{ \"\" = \"\" }",
    "true",
    "\"ttyS0,4294967296\"",
    "\"\\u0000\\U0010FFFF\"",
    "\n[[node]]\n",
];
