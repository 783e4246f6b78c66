//! The query of a list (RFC 7644 sections 3.4.2.2 and 3.4.2.4): the filters by which directories look for a user, and pages.

use url::form_urlencoded;

use super::{error::ScimError, user::attribute};
use crate::store::ScimFilter;

/// Which users are listed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Query {
    pub(super) filter: ScimFilter,
    /// The number of the first one, counted from 1.
    pub(super) start: i64,
    pub(super) count: i64,
}

/// The most users of a page.
pub(super) const MAX_COUNT: i64 = 200;
const DEFAULT_COUNT: i64 = 100;

impl Query {
    pub(super) fn parse(query: &str) -> Result<Self, ScimError> {
        let mut parsed = Self { filter: ScimFilter::All, start: 1, count: DEFAULT_COUNT };
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            let number = || value.trim().parse::<i64>().map_err(|_| ScimError::Value("startIndex and count must be numbers"));
            match name.to_ascii_lowercase().as_str() {
                "filter" => parsed.filter = filter(&value)?,
                // What is less counts as the least (section 3.4.2.4).
                "startindex" => parsed.start = number()?.max(1),
                "count" => parsed.count = number()?.clamp(0, MAX_COUNT),
                _ => {}
            }
        }
        Ok(parsed)
    }
}

/// `attribute eq "value"` of the attributes that name a user. Nothing in it is a pattern.
fn filter(text: &str) -> Result<ScimFilter, ScimError> {
    let (name, rest) = text.trim().split_once(char::is_whitespace).ok_or(ScimError::Filter)?;
    let (operator, value) = rest.trim_start().split_once(char::is_whitespace).ok_or(ScimError::Filter)?;
    if !operator.eq_ignore_ascii_case("eq") {
        return Err(ScimError::Filter);
    }
    let value: String = serde_json::from_str(value.trim()).map_err(|_| ScimError::Filter)?;
    match attribute(name).as_str() {
        "username" => Ok(ScimFilter::UserName(value)),
        "externalid" => Ok(ScimFilter::ExternalId(value)),
        "id" => Ok(ScimFilter::Id(value)),
        _ => Err(ScimError::Filter),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_is_looked_for_by_one_name_alone() {
        let parsed = |text: &str| {
            let query = form_urlencoded::Serializer::new(String::new()).append_pair("filter", text).finish();
            Query::parse(&query).map(|query| query.filter)
        };
        for (text, expected) in [
            ("userName eq \"ann@example.com\"", ScimFilter::UserName("ann@example.com".into())),
            ("username EQ \"a b\\\"c\"", ScimFilter::UserName("a b\"c".into())),
            ("userName eq \"*\"", ScimFilter::UserName("*".into())),
            (" userName  eq\t \"bob  b\"  ", ScimFilter::UserName("bob  b".into())),
            ("urn:ietf:params:scim:schemas:core:2.0:User:userName eq \"ann\"", ScimFilter::UserName("ann".into())),
            ("externalId eq \"%\"", ScimFilter::ExternalId("%".into())),
            ("id eq \"1\"", ScimFilter::Id("1".into())),
        ] {
            assert_eq!(parsed(text).unwrap(), expected, "{text}");
        }
        for odd in [
            "",
            "userName",
            "userName sw \"a\"",
            "userName pr",
            "userName eq ann",
            "userName eq",
            "urn:ietf:params:scim:schemas:core:2.0:User eq \"ann\"",
            "userName eq \"a\" or userName eq \"b\"",
            "not (userName eq \"a\")",
            "emails.value eq \"a\"",
            "userName eq \"a",
        ] {
            assert!(parsed(odd).is_err(), "{odd}");
        }
    }

    #[test]
    fn pages_are_bounded() {
        let parsed = |text: &str| Query::parse(text).map(|query| (query.start, query.count));
        for (text, expected) in [
            ("", (1, 100)),
            ("startIndex=-5&count=100000", (1, 200)),
            ("startindex=3&COUNT=0", (3, 0)),
            ("count=-1&attributes=userName", (1, 0)),
        ] {
            assert_eq!(parsed(text).unwrap(), expected, "{text}");
        }
        assert!(parsed("count=many").is_err());
    }
}
