//! Templates: minijinja, with an undefined name an error and nothing escaped. Pure: text and data in, text out.

use std::collections::BTreeSet;

use minijinja::syntax::SyntaxConfig;
use minijinja::{Environment, UndefinedBehavior, Value};
use serde::Serialize;

use crate::error::{Error, Result};

fn environment<'a>() -> Result<Environment<'a>> {
    let mut env = Environment::new();
    let syntax =
        SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).keep_trailing_newline(true).build();
    env.set_syntax(syntax.map_err(|error| fault("(none)", &error))?);
    env.set_undefined_behavior(UndefinedBehavior::Strict);
    env.set_auto_escape_callback(|_| minijinja::AutoEscape::None);
    Ok(env)
}

/// Renders a template. `name` is its file, for messages.
///
/// A name that the data does not hold is an error, never an empty string: an empty address in a configuration file would
/// be found on the machine, not here.
pub fn text(name: &str, source: &str, data: impl Serialize) -> Result<String> {
    let env = environment()?;
    let template = env.template_from_named_str(name, source).map_err(|error| fault(name, &error))?;
    template.render(Value::from(minijinja::value::Serde(&data))).map_err(|error| fault(name, &error))
}

/// Top-level names that a template looks up.
pub fn names(name: &str, source: &str) -> Result<BTreeSet<String>> {
    let env = environment()?;
    let template = env.template_from_named_str(name, source).map_err(|error| fault(name, &error))?;
    Ok(template.undeclared_variables(false).into_iter().collect())
}

fn fault(name: &str, error: &minijinja::Error) -> Error {
    let line = error.line().map(|line| format!(", line {line}")).unwrap_or_default();
    let detail = error.detail().map(|detail| format!(": {detail}")).unwrap_or_default();
    Error::input(format!("template {name}{line}: {}{detail}", error.kind()))
        .hint("templates are Jinja; `kiln init --eject` shows the built-in ones and the names they use")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn undefined_names_are_errors_with_file_and_line() {
        let error = text("a.j2", "x\n{{ nope }}\n", ()).unwrap_err().to_string();
        assert!(error.contains("a.j2, line 2"), "{error}");
        assert!(text("a.j2", "{% if %}", ()).unwrap_err().to_string().contains("a.j2"));
    }

    #[test]
    fn nothing_is_escaped_and_newlines_stay() {
        let data = std::collections::BTreeMap::from([("v", "<&\">")]);
        let source = "{% if v %}\n  {{ v }}\n{% endif %}\n";
        assert_eq!(text("a.html", source, &data).unwrap(), "  <&\">\n");
    }

    #[test]
    fn names_are_those_from_outside() {
        let found =
            names("a", "{% for node in nodes %}{{ node.name }}{% endfor %}{{ cluster.name }}").unwrap();
        assert_eq!(found.into_iter().collect::<Vec<_>>(), ["cluster", "nodes"]);
    }
}
