//! Holds a parsed file against the schema: unknown and missing keys, wrong types, words that are not on the list, lists
//! that are too long. What is wrong is reported and taken out, so that the rest can be read and checked further: a reader
//! like serde's would stop at the first fault.
//!
//! Understands what schemars makes of the raw types (type, properties, required, items, enum, limits), not all of JSON
//! Schema.

use serde_json::Value;
use toml::Spanned;
use toml::de::{DeArray, DeTable, DeValue};

use super::findings::{At, Findings, shown};
use super::rule::Rule;

/// Longest text of any value, in bytes.
const LONGEST: usize = 8 * 1024;
/// Most letters between a key and the one that may have been meant.
const NEAR: usize = 3;

type Entry<'i> = Spanned<DeValue<'i>>;

/// Takes out of `table` what does not fit `schema`, and reports it. `key` is the table's own, `at` its place.
pub(super) fn prune(schema: &Value, table: &mut DeTable<'_>, at: &At, findings: &mut Findings<'_>) {
    let properties = schema.get("properties").and_then(Value::as_object);
    let free = schema.get("additionalProperties").filter(|other| other.is_object());
    if let Some(most) = limit(schema, "maxProperties").filter(|most| table.len() > *most) {
        findings.error(
            Rule::TooMany,
            at,
            format!("`{}` has {} entries, {most} at most", at.key, table.len()),
        );
    }
    let kept = std::mem::take(table).into_iter().filter_map(|(name, mut value)| {
        let here = At::new(join(&at.key, name.get_ref()), name.span());
        let Some(schema) = properties.and_then(|known| known.get(name.get_ref().as_ref())).or(free) else {
            let known = properties.into_iter().flat_map(|known| known.keys().map(String::as_str));
            unknown(name.get_ref(), known, &here, findings);
            return None;
        };
        fits(schema, &mut value, &here.key, findings).then_some((name, value))
    });
    *table = kept.collect();
    let required = schema.get("required").and_then(Value::as_array).into_iter().flatten();
    for missing in required.filter_map(Value::as_str).filter(|name| !table.contains_key(*name)) {
        report_missing(schema, missing, at, findings);
    }
}

fn report_missing(schema: &Value, name: &str, at: &At, findings: &mut Findings<'_>) {
    let key = join(&at.key, name);
    // A key that is there but of the wrong type has been taken out, and reported.
    if findings.knows(&key) {
        return;
    }
    let schema = schema.get("properties").and_then(|known| known.get(name));
    let what =
        schema.and_then(|schema| schema.get("description")).and_then(Value::as_str).unwrap_or_default();
    let table = schema.and_then(|schema| schema.get("properties")).is_some();
    let kind = if table { format!("the table `[{key}]` is missing") } else { format!("`{key}` is missing") };
    let at = At { key, span: at.span.clone() };
    findings.error(Rule::MissingKey, &at, kind).hint(what.to_owned());
}

fn unknown<'k>(
    name: &str,
    known: impl Iterator<Item = &'k str> + Clone,
    at: &At,
    findings: &mut Findings<'_>,
) {
    let full = findings.full();
    let added = findings.error(Rule::UnknownKey, at, format!("there is no key {}", shown(&at.key)));
    if full {
        return;
    }
    match nearest(name, known.clone()) {
        Some(meant) => added.hint(format!("did you mean `{meant}`?")),
        None => added.hint(format!("keys here are {}", known.collect::<Vec<_>>().join(", "))),
    };
}

/// The word on the list that is most like `word`, if one is like it at all.
pub(super) fn nearest<'k>(word: &str, list: impl Iterator<Item = &'k str>) -> Option<&'k str> {
    if word.len() > 64 {
        return None;
    }
    let word = word.to_lowercase();
    list.map(|known| (strsim::damerau_levenshtein(&word, known), known))
        .filter(|(distance, known)| *distance <= NEAR && *distance < known.len().max(2))
        .min()
        .map(|(_, known)| known)
}

/// Whether a value fits; parts of it that do not are taken out of it.
fn fits(schema: &Value, value: &mut Entry<'_>, key: &str, findings: &mut Findings<'_>) -> bool {
    let at = At::new(key, value.span());
    let wanted = schema.get("type").and_then(Value::as_str).unwrap_or("object");
    match (wanted, value.get_mut()) {
        ("string", DeValue::String(text)) => text_fits(schema, text, &at, findings),
        ("boolean", DeValue::Boolean(_)) => true,
        ("integer", DeValue::Integer(number)) => {
            let number = i64::from_str_radix(number.as_str(), number.radix());
            integer_fits(schema, number.ok(), &at, findings)
        }
        ("array", DeValue::Array(array)) => {
            prune_array(schema, array, &at, findings);
            true
        }
        ("object", DeValue::Table(table)) => {
            prune(schema, table, &at, findings);
            true
        }
        (_, other) => {
            let message =
                format!("`{key}` is {}, and must be {}", article(other.type_str()), article(wanted));
            findings.error(Rule::WrongType, &at, message).hint(example(wanted, key));
            false
        }
    }
}

fn prune_array(schema: &Value, array: &mut DeArray<'_>, at: &At, findings: &mut Findings<'_>) {
    if let Some(most) = limit(schema, "maxItems").filter(|most| array.len() > *most) {
        let message = format!("`{}` has {} entries, {most} at most", at.key, array.len());
        findings.error(Rule::TooMany, at, message);
        *array = std::mem::replace(array, DeArray::new()).into_iter().take(most).collect();
    }
    let Some(items) = schema.get("items") else { return };
    let kept =
        std::mem::replace(array, DeArray::new()).into_iter().enumerate().filter_map(|(index, mut item)| {
            fits(items, &mut item, &format!("{}[{index}]", at.key), findings).then_some(item)
        });
    *array = kept.collect();
}

fn text_fits(schema: &Value, text: &str, at: &At, findings: &mut Findings<'_>) -> bool {
    if text.len() > LONGEST {
        let message = format!("`{}` is {} bytes long, {LONGEST} at most", at.key, text.len());
        findings.error(Rule::TooLong, at, message);
        return false;
    }
    let Some(Value::Array(words)) = schema.get("enum") else { return true };
    let words = words.iter().filter_map(Value::as_str);
    if words.clone().any(|word| word == text) {
        return true;
    }
    let added = findings.error(Rule::UnknownValue, at, format!("`{}` cannot be {}", at.key, shown(text)));
    let meant =
        nearest(text, words.clone()).map(|meant| format!("did you mean `{meant}`? ")).unwrap_or_default();
    added.hint(format!("{meant}it is one of {}", words.collect::<Vec<_>>().join(", ")));
    false
}

fn integer_fits(schema: &Value, number: Option<i64>, at: &At, findings: &mut Findings<'_>) -> bool {
    let bound = |name: &str, other: i64| schema.get(name).and_then(Value::as_i64).unwrap_or(other);
    let range = bound("minimum", i64::MIN)..=bound("maximum", i64::MAX);
    if number.is_some_and(|number| range.contains(&number)) {
        return true;
    }
    let message = format!("`{}` must be {} to {}", at.key, range.start(), range.end());
    findings.error(Rule::OutOfRange, at, message);
    false
}

fn limit(schema: &Value, name: &str) -> Option<usize> {
    schema.get(name).and_then(Value::as_u64).and_then(|most| usize::try_from(most).ok())
}

/// `cluster` + `name` → `cluster.name`; a part that is no bare key is quoted.
pub(super) fn join(table: &str, name: &str) -> String {
    let bare = !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
    let cut: String = name.chars().take(80).collect();
    let name = if bare { cut } else { format!("{cut:?}") };
    if table.is_empty() { name } else { format!("{table}.{name}") }
}

/// A type in words, by TOML's or the schema's name.
fn article(kind: &str) -> &'static str {
    match kind {
        "string" => "a text",
        "integer" => "a whole number",
        "float" => "a number with a fraction",
        "boolean" => "true or false",
        "datetime" => "a date or time",
        "array" => "a list",
        _ => "a table",
    }
}

fn example(wanted: &str, key: &str) -> String {
    let name = key.rsplit('.').next().unwrap_or(key);
    match wanted {
        "string" => format!("put it in quotes: {name} = \"…\""),
        "integer" => format!("write it without quotes: {name} = 24"),
        "boolean" => format!("write it without quotes: {name} = true"),
        "array" if matches!(key, "node" | "worker_pool") => format!("write [[{key}]], in double brackets"),
        "array" => format!("put it in brackets: {name} = [\"…\"]"),
        _ => format!("write {name} = {{ … }}, or a table [{key}]"),
    }
}
