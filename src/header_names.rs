//! Header names as CGI and its successors read them (RFC 3875 section 4.1.18): all characters that are no letters or digits are the
//! same one. Whatever looks for a header in order to keep it from an upstream compares names so, or another spelling gets through.

/// Whether two names, in lower case as `http` has them, are one to such an upstream.
pub fn are_equivalent(one: &str, other: &str) -> bool {
    one.len() == other.len() && has_prefix(one, other)
}

/// Whether `name` begins with `start`, and ends there or goes on after a separator.
pub fn has_prefix(name: &str, start: &str) -> bool {
    let (name, start) = (name.as_bytes(), start.as_bytes());
    let same = |(a, b): (&u8, &u8)| a == b || (!a.is_ascii_alphanumeric() && !b.is_ascii_alphanumeric());
    name.len() >= start.len()
        && name.iter().zip(start).all(same)
        && name.get(start.len()).is_none_or(|next| !next.is_ascii_alphanumeric())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The name of the variable that CGI makes of a header, but for its prefix and case.
    fn folded(name: &str) -> String {
        name.chars().map(|letter| if letter.is_ascii_alphanumeric() { letter } else { '_' }).collect()
    }

    proptest! {
        #[test]
        fn names_are_one_where_cgi_makes_one_variable_of_them(one in "[ab1._!~-]{0,6}", other in "[ab1._!~-]{0,6}") {
            prop_assert_eq!(are_equivalent(&one, &other), folded(&one) == folded(&other));
            prop_assert!(are_equivalent(&one, &folded(&one)));
            let longer = format!("{one}-{other}");
            prop_assert!(has_prefix(&longer, &one));
        }
    }

    #[test]
    fn separators_are_one_and_everything_else_is_itself() {
        for (one, other, same) in [
            ("x-tenant", "x_tenant", true),
            ("x_tenant", "x-tenant", true),
            ("x.tenant", "x!tenant", true),
            ("x-tenant", "x-tenants", false),
            ("x-tenant", "xtenant", false),
            ("x-tenant-", "x-tenant", false),
            ("x-1", "x-2", false),
        ] {
            assert_eq!(are_equivalent(one, other), same, "{one} {other}");
        }
        assert!(has_prefix("x_forwarded.for", "x-forwarded") && !has_prefix("x-forwardedfor", "x-forwarded"));
    }
}
