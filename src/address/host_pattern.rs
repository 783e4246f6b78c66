//! Hosts that differ in their first label: `*.apps.example.com`, `{port}--{name}.apps.example.com`.
//!
//! Whoever sends a request chooses the values, so that what a value may be is narrow: letters, digits and dashes of one label, and for
//! a port a number of a range. No value has a dot, a colon or a slash in it.

use std::ops::RangeInclusive;

use super::AccessUrl;

/// Hosts that differ in their first label.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostPattern {
    text: String,
    /// Of the first label.
    parts: Vec<Part>,
    /// What follows it, in lower case, with the port if it is not the scheme's own.
    suffix: String,
    /// Which numbers the value `port` may be.
    ports: RangeInclusive<u16>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Literal(String),
    /// What stands for a value, by its name.
    Value(String),
}

/// The name of the value that a star stands for.
const STAR: &str = "label";
/// The name of the value that is a number.
const PORT: &str = "port";
/// The longest label of a host name, in bytes (RFC 1035 section 2.3.4).
const MAX_LABEL_LEN: usize = 63;

const WRONG: &str = "must be a host whose first of at least three labels has a star at its beginning or names in braces, as in \
                     *.apps.example.com or {port}--{name}.apps.example.com";

impl HostPattern {
    /// Whether a text is meant for a pattern.
    pub fn is_meant(text: &str) -> bool {
        text.contains(['*', '{', '}'])
    }

    /// Reads a pattern. A star stands for the value `label`.
    ///
    /// # Errors
    /// What is wrong, as the end of a sentence.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        let text = text.to_ascii_lowercase();
        let (label, _) = text.split_once('.').ok_or(WRONG)?;
        let suffix = text.get(label.len()..).unwrap_or_default().to_owned();
        // A star for a whole top-level domain would make everybody's host a site of ours.
        let labels_behind = suffix.split(':').next().unwrap_or_default().split('.').skip(1).count();
        if labels_behind < 2 || Self::is_meant(&suffix) {
            return Err(WRONG);
        }
        let pattern = Self { parts: parts(label)?, suffix, ports: 1..=u16::MAX, text };
        // In any other spelling, requests of browsers would not match it.
        let example = pattern.example();
        let is_host = AccessUrl::parse(&format!("https://{example}")).is_ok_and(|url| url.is_host(&example));
        if is_host { Ok(pattern) } else { Err(WRONG) }
    }

    /// The same hosts, but for those whose port is not one of `ports`.
    #[must_use]
    pub fn with_ports(self, ports: RangeInclusive<u16>) -> Self {
        Self { ports, ..self }
    }

    /// Which numbers the value `port` may be.
    pub fn ports(&self) -> &RangeInclusive<u16> {
        &self.ports
    }

    /// The names of the values.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.parts.iter().filter_map(|part| match part {
            Part::Value(name) => Some(name.as_str()),
            Part::Literal(_) => None,
        })
    }

    /// The values by name that `host` has, in lower case and without the scheme's default port; `None` if it does not match. A value
    /// ends where the text behind it begins for the first time.
    pub fn values<'a>(&'a self, host: &'a str) -> Option<Vec<(&'a str, &'a str)>> {
        let mut rest = host.strip_suffix(self.suffix.as_str())?;
        let (mut values, mut parts) = (Vec::new(), self.parts.iter().peekable());
        while let Some(part) = parts.next() {
            match part {
                Part::Literal(text) => rest = rest.strip_prefix(text.as_str())?,
                Part::Value(name) => {
                    let is_last = self.names().last() == Some(name.as_str());
                    let end = match parts.peek() {
                        None => rest.len(),
                        Some(Part::Literal(text)) if is_last => rest.len().checked_sub(text.len())?,
                        // The first letter is the value's in any case.
                        Some(Part::Literal(text)) => 1 + rest.get(1..)?.find(text.as_str())?,
                        Some(Part::Value(_)) => return None,
                    };
                    let (value, behind) = rest.split_at_checked(end)?;
                    values.push((name.as_str(), Some(value).filter(|value| self.may_be(name, value))?));
                    rest = behind;
                }
            }
        }
        rest.is_empty().then_some(values)
    }

    fn may_be(&self, name: &str, value: &str) -> bool {
        if name == PORT {
            // As people write it, so that each app has one host.
            return value.parse::<u16>().is_ok_and(|port| self.ports.contains(&port) && port.to_string() == value);
        }
        let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        let has_outer_dash = value.starts_with('-') || value.ends_with('-');
        (1..=MAX_LABEL_LEN).contains(&value.len()) && !has_outer_dash && value.bytes().all(is_plain)
    }

    /// One of the hosts.
    pub fn example(&self) -> String {
        let label = self.parts.iter().map(|part| match part {
            Part::Literal(text) => text.clone(),
            Part::Value(name) if name == PORT => self.ports.start().to_string(),
            Part::Value(_) => "any".to_owned(),
        });
        label.chain([self.suffix.clone()]).collect()
    }

    /// How many of its letters are fixed: of two patterns that a host matches, the one with more counts.
    pub fn fixed_len(&self) -> usize {
        let literals = self.parts.iter().map(|part| match part {
            Part::Literal(text) => text.len(),
            Part::Value(_) => 0,
        });
        self.suffix.len() + literals.sum::<usize>()
    }
}

impl std::fmt::Display for HostPattern {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.text)
    }
}

/// The parts of a first label. Two values that nothing separates would be one of which nobody knows where the other begins.
fn parts(label: &str) -> Result<Vec<Part>, &'static str> {
    let mut parts = Vec::new();
    let mut rest = label;
    if let Some(behind) = rest.strip_prefix('*') {
        parts.push(Part::Value(STAR.to_owned()));
        rest = behind;
    }
    while !rest.is_empty() {
        let literal = rest.split('{').next().unwrap_or_default();
        if !literal.is_empty() {
            parts.push(Part::Literal(literal.to_owned()));
        }
        let Some(behind) = rest.get(literal.len()..).and_then(|rest| rest.strip_prefix('{')) else { break };
        let (name, behind) = behind.split_once('}').ok_or(WRONG)?;
        let is_name = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_lowercase());
        let follows_value = matches!(parts.last(), Some(Part::Value(_)));
        if !is_name || follows_value || parts.contains(&Part::Value(name.to_owned())) {
            return Err(WRONG);
        }
        parts.push(Part::Value(name.to_owned()));
        rest = behind;
    }
    let is_literal = |part: &Part| matches!(part, Part::Literal(text) if text.contains(['*', '}']));
    let has_value = parts.iter().any(|part| matches!(part, Part::Value(_)));
    if has_value && !parts.iter().any(is_literal) { Ok(parts) } else { Err(WRONG) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_has_the_values_that_its_pattern_names_and_none_with_a_dot() {
        for (pattern, host, values) in [
            ("*.apps.example.com", "one.apps.example.com", Some(&[("label", "one")][..])),
            ("*.apps.example.com", "a-1--b.apps.example.com", Some(&[("label", "a-1--b")])),
            ("{name}.apps.example.com", "one.apps.example.com", Some(&[("name", "one")])),
            ("*--x.example.com", "one--two--x.example.com", Some(&[("label", "one--two")])),
            ("*.example.com:8443", "one.example.com:8443", Some(&[("label", "one")])),
            ("{port}--{name}.e.example", "8080--my--app.e.example", Some(&[("port", "8080"), ("name", "my--app")])),
            ("u-{user}--{app}-x.e.example", "u-ann--a-x-x.e.example", Some(&[("user", "ann"), ("app", "a-x")])),
            ("{port}--{name}.e.example", "7999--a.e.example", None),
            ("{port}--{name}.e.example", "08080--a.e.example", None),
            ("{port}--{name}.e.example", "+8080--a.e.example", None),
            ("{port}--{name}.e.example", "88080--a.e.example", None),
            ("{port}--{name}.e.example", "a--8080.e.example", None),
            ("{port}--{name}.e.example", "8080.e.example", None),
            ("{port}--{name}.e.example", "8080--.e.example", None),
            ("*.apps.example.com", "apps.example.com", None),
            ("*.apps.example.com", ".apps.example.com", None),
            ("*.apps.example.com", "a.b.apps.example.com", None),
            ("*.apps.example.com", "-a.apps.example.com", None),
            ("*.apps.example.com", "a-.apps.example.com", None),
            ("*.apps.example.com", "a_b.apps.example.com", None),
            ("*.apps.example.com", "a/b.apps.example.com", None),
            ("*.apps.example.com", "a:1.apps.example.com", None),
            ("*.apps.example.com", "a%2eb.apps.example.com", None),
            ("*.apps.example.com", "\u{661}.apps.example.com", None),
            ("*.apps.example.com", "one.apps.example.com:8443", None),
            ("*.apps.example.com", "oneapps.example.com", None),
        ] {
            let pattern = HostPattern::parse(pattern).unwrap().with_ports(8000..=8999);
            assert_eq!(pattern.values(host).as_deref(), values, "{pattern} {host}");
            assert!(pattern.values(&pattern.example()).is_some());
        }
        let long = format!("{}.apps.example.com", "a".repeat(64));
        assert_eq!(HostPattern::parse("*.apps.example.com").unwrap().values(&long), None);
    }

    #[test]
    fn what_is_no_pattern_or_takes_in_strangers_hosts_is_refused() {
        for text in [
            "*",
            "*.com",
            "{a}.com",
            "apps.example.com",
            "a.*.example.com",
            "a*.example.com",
            "**.example.com",
            "*{a}.example.com",
            "{a}{b}.example.com",
            "{a}-{a}.example.com",
            "{}.example.com",
            "{a.example.com",
            "a}.example.com",
            "{a b}.example.com",
            "{a}.{b}.example.com",
            "https://*.example.com",
            "*.example.com/x",
        ] {
            assert!(HostPattern::parse(text).is_err(), "{text}");
        }
    }
}
