//! A translation as files, and the table of options as a document.

use std::fmt::Write;

use super::{
    options::{ALPHA, AlphaMeaning, Form, Meaning, SECTIONS},
    result::{Line, ProviderTable, RouteTable, Severity, Translation, Value},
};

/// How secrets are written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Secrets {
    /// As the path of a file in this folder, which holds the value.
    In(String),
    /// As they are.
    Shown,
}

/// A translation as files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Output {
    /// Variables of the environment, one a line, for a shell, Docker and systemd alike.
    pub environment: String,
    /// The file of settings and routes, if there is anything that variables cannot hold.
    pub file: Option<String>,
    /// Secrets whose values are known: the name of the file, and its text.
    pub secrets: Vec<(String, String)>,
}

impl Translation {
    /// Writes the translation. `file` is where the file of settings will be.
    pub fn output(&self, secrets: &Secrets, file: &str) -> Output {
        let (mut variables, mut settings, mut values) = (String::new(), String::new(), Vec::new());
        for line in &self.lines {
            if let (Secrets::In(_), Value::Secret(Some(value))) = (secrets, &line.value) {
                values.push((line.name.to_owned(), value.clone()));
            }
            let written = Written::of(line, secrets);
            let (out, text) = match &written {
                Written::Variable(text) => (&mut variables, text),
                Written::Setting(text) => (&mut settings, text),
            };
            let _infallible = writeln!(out, "# {}\n{text}", one_line(&line.comment));
        }
        for route in &self.routes {
            settings.push_str(&route_table(route));
        }
        for provider in &self.providers {
            settings.push_str(&provider_table(provider, secrets, &mut values));
        }
        let file = (!settings.is_empty()).then(|| {
            let _infallible = writeln!(variables, "# what variables cannot hold\nCODER_CONFIG_PATH={file}");
            format!("# {HEAD}\n{settings}")
        });
        let mut environment = format!("# {HEAD}\n{variables}");
        let told = self.notes.iter().filter(|note| note.severity == Severity::Info);
        for (at, note) in told.enumerate() {
            let blank = if at == 0 { "\n" } else { "" };
            let _infallible = writeln!(environment, "{blank}# {}: {}", note.subject, one_line(&note.message));
        }
        Output { environment, file, secrets: values }
    }
}

const HEAD: &str = "Translated from oauth2-proxy's configuration. Above each setting stands the option that it came from.";

/// Where a setting is written.
enum Written {
    Variable(String),
    Setting(String),
}

impl Written {
    fn of(line: &Line, secrets: &Secrets) -> Self {
        let variable = |name: &str, value: &str| Self::Variable(format!("CODER_{}={value}", name.to_uppercase()));
        match (&line.value, secrets) {
            (Value::Text(text), _) => Self::text(&line.name, text),
            (Value::Secret(Some(text)), Secrets::Shown) => Self::text(&line.name, text),
            (Value::Secret(_), Secrets::In(folder)) => {
                variable(&format!("{}_file", line.name), &format!("{folder}/{}", line.name))
            }
            (Value::Secret(None), Secrets::Shown) => Self::Variable(format!("#CODER_{}_FILE=", line.name.to_uppercase())),
            (Value::ToFillIn(example), _) => Self::Variable(format!("#CODER_{}={example}", line.name.to_uppercase())),
            (Value::Map(members), _) => {
                let members: Vec<_> =
                    members.iter().map(|(name, value)| format!("{} = {}", quoted(name), quoted(value))).collect();
                Self::Setting(format!("{} = {{ {} }}", line.name, members.join(", ")))
            }
        }
    }

    /// A text that a shell, Docker and systemd read alike is a variable; they do not agree on quotes.
    fn text(name: &str, text: &str) -> Self {
        let is_plain =
            !text.is_empty() && text.chars().all(|letter| letter.is_ascii_alphanumeric() || "-_./:,@=+%*".contains(letter));
        if is_plain {
            Self::Variable(format!("CODER_{}={text}", name.to_uppercase()))
        } else {
            Self::Setting(format!("{name} = {}", quoted(text)))
        }
    }
}

/// A text as TOML's basic string.
fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for letter in text.chars() {
        match letter {
            '"' | '\\' => quoted.extend(['\\', letter]),
            control if control.is_control() => {
                let _infallible = write!(quoted, "\\u{:04X}", u32::from(control));
            }
            other => quoted.push(other),
        }
    }
    quoted.push('"');
    quoted
}

/// A comment cannot end before its end.
fn one_line(text: &str) -> String {
    text.chars().map(|letter| if letter.is_control() { ' ' } else { letter }).collect()
}

fn route_table(route: &RouteTable) -> String {
    let list = |values: &[String]| format!("[{}]", values.iter().map(|value| quoted(value)).collect::<Vec<_>>().join(", "));
    let mut lines = vec!["[[route]]".to_owned(), format!("path = {}", quoted(&route.path))];
    lines.extend(route.upstream.as_ref().map(|upstream| format!("upstream = {}", quoted(upstream))));
    if route.is_public {
        lines.push("rule = \"public\"".to_owned());
    }
    if !route.methods.is_empty() {
        lines.push(format!("methods = {}", list(&route.methods)));
    }
    if route.strips_prefix {
        lines.push("strip_prefix = true".to_owned());
    }
    if route.uses_own_host {
        lines.push("host_header = \"upstream\"".to_owned());
    }
    if !route.bearer_audiences.is_empty() {
        lines.push("bearer_tokens = [\"provider\"]".to_owned());
        lines.push(format!("bearer_audiences = {}", list(&route.bearer_audiences)));
    }
    lines.extend(route.timeout.as_ref().map(|timeout| format!("timeout = {}", quoted(timeout))));
    let claims: Vec<_> = route.claims.iter().map(|(claim, values)| format!("{} = {}", quoted(claim), list(values))).collect();
    for (key, members) in
        [("claims", claims), ("claims_match", pairs(&route.claims_match)), ("set_headers", pairs(&route.set_headers))]
    {
        if !members.is_empty() {
            lines.push(format!("{key} = {{ {} }}", members.join(", ")));
        }
    }
    let mark = if route.is_commented_out { "#" } else { "" };
    let lines: String = lines.iter().map(|line| format!("{mark}{line}\n")).collect();
    format!("\n# {}\n{lines}", one_line(&route.comment))
}

/// A table that is commented out. The files of its secrets are written, so that it is enough to take the marks away.
fn provider_table(table: &ProviderTable, secrets: &Secrets, values: &mut Vec<(String, String)>) -> String {
    let mut out = format!("\n# {}\n#[[provider]]\n#name = {}\n", one_line(&table.comment), quoted(&table.name));
    for line in &table.lines {
        let (name, file) = (&line.name, format!("{}_{}", table.name, line.name));
        let text = match (&line.value, secrets) {
            (Value::Text(text), _) | (Value::Secret(Some(text)), Secrets::Shown) => format!("{name} = {}", quoted(text)),
            (Value::Secret(value), Secrets::In(folder)) => {
                values.extend(value.as_ref().map(|value| (file.clone(), value.clone())));
                format!("{name}_file = {}", quoted(&format!("{folder}/{file}")))
            }
            (Value::Secret(None), Secrets::Shown) => format!("{name}_file = \"FILL-IN\""),
            (Value::ToFillIn(example), _) => format!("{name} = {}", quoted(example)),
            (Value::Map(members), _) => format!("{name} = {{ {} }}", pairs(members).join(", ")),
        };
        let _infallible = writeln!(out, "# {}\n#{text}", one_line(&line.comment));
    }
    out
}

fn pairs(members: &std::collections::BTreeMap<String, String>) -> Vec<String> {
    members.iter().map(|(name, value)| format!("{} = {}", quoted(name), quoted(value))).collect()
}

/// `docs/oauth2-proxy-options.md`.
pub fn options() -> String {
    let mut out = String::from(
        "# oauth2-proxy's options, and what becomes of them\n\n\
         Generated by `evergate config translate --options` from the table that the translation goes by; a test keeps it true.\n\
         [migrate-from-oauth2-proxy.md](migrate-from-oauth2-proxy.md) says how to use it.\n\n\
         The options are those of oauth2-proxy 7.15. `--email-domain` is `OAUTH2_PROXY_EMAIL_DOMAINS` in its environment and\n\
         `email_domains` in its file: names with underscores, with an `s` where there may be several.\n",
    );
    for (title, options) in SECTIONS {
        let _infallible = write!(out, "\n## {title}\n\n| option | here |\n|---|---|\n");
        for option in options {
            let several = if option.form == Form::List { " (list)" } else { "" };
            let _infallible = writeln!(out, "| `--{}`{several} | {} |", option.flag, meaning(option.meaning));
        }
    }
    out.push_str("\n## Alpha configuration\n\nKeys of the YAML file of `--alpha-config`; also in the layouts of releases before 7.14.\n\n| key | here |\n|---|---|\n");
    for key in ALPHA {
        let meaning = match key.meaning {
            AlphaMeaning::Option(flag) => format!("as `--{flag}`"),
            AlphaMeaning::Own(own) => meaning(own),
        };
        let _infallible = writeln!(out, "| `{}` | {meaning} |", key.path);
    }
    out
}

fn meaning(meaning: Meaning) -> String {
    match meaning {
        Meaning::Becomes(what) | Meaning::Restriction(what) => what.replace('|', "\\|"),
        Meaning::NoEffect(why) => format!("no effect: {why}"),
        Meaning::NoEquivalent(why) => format!("**no equivalent**: {why}"),
        Meaning::NoRestriction(why) => format!("**no equivalent, nobody enters**: {why}"),
    }
}
