//! The value of a header, as an administrator writes it: a text with placeholders.
//!
//! `{email}` is a part of the identity, `{claim:realm_access.roles}` any claim by its path, `{username or email}` the first of them
//! that the user has. A list is joined with commas, with another separator after `|join:`, or written as JSON with `|json`.

use std::borrow::Cow;

use serde_json::Value;

use super::{
    Claimant,
    escape::{ascii_json, escape},
};

/// A text with placeholders.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template(Vec<Part>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    Placeholder { sources: Vec<Source>, format: Format },
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Source {
    Subject,
    Email,
    Username,
    Name,
    Groups,
    Roles,
    AccessToken,
    IdToken,
    Claim(String),
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Format {
    Joined(String),
    Json,
}

/// Why a text is no template. The texts complete a sentence that begins with the setting.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidTemplate {
    /// A brace that opens or closes nothing.
    #[error("has a brace that opens or closes nothing; a brace itself is written twice")]
    Brace,
    /// An unknown name in braces.
    #[error(
        "names something unknown in braces: {{user}}, {{email}}, {{username}}, {{name}}, {{groups}}, {{roles}}, {{access_token}}, \
         {{id_token}}, or {{claim:path}} for any claim"
    )]
    Source,
    /// An unknown format after `|`.
    #[error(
        "has an unknown format after |, which may be json, or join: with a separator of one to three punctuation marks and blanks"
    )]
    Format,
    /// A character that cannot be sent in a header.
    #[error("has a control character")]
    Control,
}

/// The longest path of a claim, and the longest separator.
const MAX_PATH: usize = 200;
const MAX_SEPARATOR: usize = 3;

impl Template {
    /// Parses a text.
    ///
    /// # Errors
    /// [`InvalidTemplate`].
    pub fn parse(text: &str) -> Result<Self, InvalidTemplate> {
        if text.contains(char::is_control) {
            return Err(InvalidTemplate::Control);
        }
        let (mut parts, mut fixed, mut rest) = (Vec::new(), String::new(), text);
        while let Some(at) = rest.find(['{', '}']) {
            let (before, from_brace) = rest.split_at(at);
            fixed.push_str(before);
            if let Some(behind) = from_brace.strip_prefix("{{").or_else(|| from_brace.strip_prefix("}}")) {
                fixed.extend(from_brace.chars().next());
                rest = behind;
                continue;
            }
            let (placeholder, behind) =
                from_brace.strip_prefix('{').and_then(|inside| inside.split_once('}')).ok_or(InvalidTemplate::Brace)?;
            if !fixed.is_empty() {
                parts.push(Part::Text(std::mem::take(&mut fixed)));
            }
            parts.push(placeholder_of(placeholder)?);
            rest = behind;
        }
        fixed.push_str(rest);
        if !fixed.is_empty() {
            parts.push(Part::Text(fixed));
        }
        Ok(Self(parts))
    }

    /// Renders the value; `None` if the user lacks what a placeholder names.
    pub fn render(&self, claimant: Claimant<'_>) -> Option<String> {
        let parts = self.0.iter().map(|part| match part {
            Part::Text(text) => Some(Cow::Borrowed(text.as_str())),
            Part::Placeholder { sources, format } => {
                sources.iter().find_map(|source| format.apply(&*source.of(claimant)?)).map(Cow::Owned)
            }
        });
        parts.collect::<Option<Vec<_>>>().map(|parts| parts.concat())
    }

    /// The paths of the claims that it names.
    pub fn claims(&self) -> impl Iterator<Item = &str> {
        self.sources().filter_map(|source| match source {
            Source::Claim(path) => Some(path.as_str()),
            Source::Subject
            | Source::Email
            | Source::Username
            | Source::Name
            | Source::Groups
            | Source::Roles
            | Source::AccessToken
            | Source::IdToken => None,
        })
    }

    /// Whether it names the ID token.
    pub fn has_id_token(&self) -> bool {
        self.sources().any(|source| *source == Source::IdToken)
    }

    /// Whether what it renders is a secret.
    pub fn has_token(&self) -> bool {
        self.sources().any(|source| matches!(source, Source::AccessToken | Source::IdToken))
    }

    fn sources(&self) -> impl Iterator<Item = &Source> {
        self.0.iter().flat_map(|part| match part {
            Part::Text(_) => &[][..],
            Part::Placeholder { sources, .. } => sources,
        })
    }
}

fn placeholder_of(text: &str) -> Result<Part, InvalidTemplate> {
    let (sources, format) = match text.split_once('|') {
        Some((sources, format)) => (sources, Format::parse(format)?),
        None => (text, Format::Joined(",".to_owned())),
    };
    let sources = sources.split(" or ").map(|name| Source::parse(name.trim())).collect::<Option<_>>();
    Ok(Part::Placeholder { sources: sources.ok_or(InvalidTemplate::Source)?, format })
}

impl Source {
    fn parse(name: &str) -> Option<Self> {
        Some(match name {
            "user" => Self::Subject,
            "email" => Self::Email,
            "username" => Self::Username,
            "name" => Self::Name,
            "groups" => Self::Groups,
            "roles" => Self::Roles,
            "access_token" => Self::AccessToken,
            "id_token" => Self::IdToken,
            _ => {
                let path = name.strip_prefix("claim:")?;
                return (!path.is_empty() && path.len() <= MAX_PATH).then(|| Self::Claim(path.to_owned()));
            }
        })
    }

    /// What the user has of it; `None` for nothing.
    fn of<'a>(&self, claimant: Claimant<'a>) -> Option<Cow<'a, Value>> {
        let identity = claimant.identity;
        let text = |text: &str| Cow::Owned(Value::from(text));
        let list = |members: &[String]| (!members.is_empty()).then(|| Cow::Owned(Value::from(members)));
        match self {
            Self::Subject => Some(text(&identity.subject)),
            Self::Email => identity.email.as_deref().map(text),
            Self::Username => identity.username.as_deref().map(text),
            Self::Name => identity.name.as_deref().map(text),
            Self::Groups => list(identity.group_names()),
            Self::Roles => list(&identity.roles),
            Self::AccessToken => claimant.access_token.map(|token| text(token.expose())),
            Self::IdToken => claimant.id_token.map(|token| text(token.expose())),
            Self::Claim(path) => identity.claims.get(path).map(Cow::Borrowed),
        }
    }
}

impl Format {
    fn parse(text: &str) -> Result<Self, InvalidTemplate> {
        if text == "json" {
            return Ok(Self::Json);
        }
        let separator = text.strip_prefix("join:").ok_or(InvalidTemplate::Format)?;
        // A percent sign is what members are encoded with.
        let is_mark = |character: char| character == ' ' || (character.is_ascii_punctuation() && character != '%');
        let is_good = (1..=MAX_SEPARATOR).contains(&separator.len()) && separator.chars().all(is_mark);
        if is_good { Ok(Self::Joined(separator.to_owned())) } else { Err(InvalidTemplate::Format) }
    }

    /// Writes a value; `None` for one that says nothing, or that cannot be written so.
    fn apply(&self, value: &Value) -> Option<String> {
        match (self, value) {
            (_, Value::Null) => None,
            (Self::Json, value) => Some(ascii_json(value)),
            (Self::Joined(separator), Value::Array(members)) => {
                let members: Vec<_> = members.iter().filter_map(scalar).map(|member| escape(&member, Some(separator))).collect();
                Some(members.join(separator)).filter(|joined| !joined.is_empty())
            }
            (Self::Joined(_), value) => scalar(value).map(|text| escape(&text, None)),
        }
    }
}

/// A value that is one text; `None` for an empty one, a list or an object.
fn scalar(value: &Value) -> Option<Cow<'_, str>> {
    match value {
        Value::String(text) => Some(Cow::Borrowed(text.as_str())).filter(|text| !text.is_empty()),
        Value::Bool(_) | Value::Number(_) => Some(Cow::Owned(value.to_string())),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

#[cfg(test)]
mod tests;
