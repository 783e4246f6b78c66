//! Rules on any claim.

use regex::Regex;
use serde_json::Value;

use crate::{
    identity::Identity,
    pattern::{InvalidPattern, compile},
};

/// What a claim must be. A user who lacks the claim does not pass, whatever the rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClaimRule {
    /// The claim's name, or a path to it.
    pub path: String,
    /// What it must be.
    pub test: ClaimTest,
}

/// What a claim must be. Of a list, one member is enough.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClaimTest {
    /// One of these texts; a number, true or false is compared as JSON writes it.
    OneOf(Vec<String>),
    /// A text that the whole pattern matches.
    Matches(Pattern),
    /// Anything but nothing, an empty text or an empty list.
    Exists,
}

/// A regular expression that matches whole texts, in a time linear in their length.
#[derive(Clone, Debug)]
pub struct Pattern(Regex);

impl ClaimRule {
    /// Whether the user passes.
    pub(super) fn admits(&self, identity: &Identity) -> bool {
        let Some(claim) = identity.claims.get(&self.path) else { return false };
        match claim.as_array() {
            Some(members) => members.iter().any(|member| self.test.admits(member)),
            None => self.test.admits(claim),
        }
    }
}

impl ClaimTest {
    fn admits(&self, claim: &Value) -> bool {
        let text = match claim {
            Value::String(text) if !text.is_empty() => text.clone(),
            Value::Bool(_) | Value::Number(_) => claim.to_string(),
            Value::Array(members) => return *self == Self::Exists && !members.is_empty(),
            Value::Object(_) => return *self == Self::Exists,
            Value::Null | Value::String(_) => return false,
        };
        match self {
            Self::OneOf(allowed) => allowed.contains(&text),
            Self::Matches(pattern) => pattern.0.is_match(&text),
            Self::Exists => true,
        }
    }
}

impl Pattern {
    /// Compiles a pattern.
    ///
    /// # Errors
    /// [`InvalidPattern`].
    pub fn new(text: &str) -> Result<Self, InvalidPattern> {
        // By itself first: `a)|(b` is one only within other parentheses, and would not be bound to the text's ends there.
        compile(text)?;
        compile(&format!(r"\A(?:{text})\z")).map(Self)
    }
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.0.as_str() == other.0.as_str()
    }
}

impl Eq for Pattern {}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn admits(test: &ClaimTest, claim: Option<Value>) -> bool {
        let mut identity = Identity::default();
        identity.claims.record("claim", claim);
        ClaimRule { path: "claim".into(), test: test.clone() }.admits(&identity)
    }

    fn matching(pattern: &str) -> ClaimTest {
        ClaimTest::Matches(Pattern::new(pattern).unwrap())
    }

    #[test]
    fn a_claim_is_compared_whole_and_of_a_list_one_member_is_enough() {
        let one_of = ClaimTest::OneOf(["eng", "ops", "7", "true"].map(str::to_owned).into());
        for (claim, passes) in [
            (json!("eng"), true),
            (json!(["x", "ops"]), true),
            (json!(7), true),
            (json!([true]), true),
            (json!("eng,ops"), false),
            (json!("Eng"), false),
            (json!("engineering"), false),
            (json!([["eng"]]), false),
            (json!({"eng": "eng"}), false),
            (json!([]), false),
            (json!(null), false),
        ] {
            assert_eq!(admits(&one_of, Some(claim.clone())), passes, "{claim}");
        }
    }

    #[test]
    fn a_pattern_matches_the_whole_text_and_nothing_else() {
        for (pattern, text, passes) in [
            ("eng|ops", "eng", true),
            ("eng|ops", "engine", false),
            ("eng|ops", "devops", false),
            (".*@example\\.com", "a@example.com", true),
            (".*@example\\.com", "a@example.com.evil", false),
            (".*@example\\.com", "a@example.com\n", false),
            ("^eng$", "eng", true),
            ("(?m)^eng$", "x\neng", false),
            ("a|ab", "ab", true),
            ("(?i)ENG", "eng", true),
            ("", "x", false),
        ] {
            assert_eq!(admits(&matching(pattern), Some(json!(text))), passes, "{pattern} {text:?}");
        }
        for wrong in ["a)|(b", "(", "(?=a)", r"(a)\1", "(?x)a # b"] {
            assert_eq!(Pattern::new(wrong), Err(InvalidPattern::Syntax), "{wrong}");
        }
        assert_eq!(Pattern::new("(a{100}){1000}{100}").unwrap_err(), InvalidPattern::TooLarge);
    }

    #[test]
    fn a_pattern_that_others_would_search_for_hours_is_quick() {
        let slow = matching("(a*)*(a*)*(a*)*b");
        assert!(!admits(&slow, Some(json!("a".repeat(5000)))));
    }

    #[test]
    fn whoever_lacks_the_claim_does_not_pass_any_rule() {
        for test in [ClaimTest::OneOf(vec![String::new(), "null".into()]), matching(".*"), ClaimTest::Exists] {
            for claim in [None, Some(json!(null)), Some(json!("")), Some(json!([])), Some(json!([null]))] {
                assert!(!admits(&test, claim.clone()), "{test:?} {claim:?}");
            }
            assert!(!ClaimRule { path: "never.asked".into(), test }.admits(&Identity::default()));
        }
        for claim in [json!("x"), json!(0), json!(false), json!([1]), json!({})] {
            assert!(admits(&ClaimTest::Exists, Some(claim.clone())), "{claim}");
        }
    }
}
