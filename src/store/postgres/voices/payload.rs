//! Reads announcements: the payload of a notification, and of a row of the table `changes`.

use crate::{
    grant::GrantId,
    secret::unhex,
    session::{SessionHash, UserName},
    store::Change,
};

/// The change that a payload names.
pub(super) fn parse(payload: &str) -> Change {
    let change = || match payload.split_once(' ')? {
        ("grant", id) => Some(Change::Grant(GrantId(unhex(id)?))),
        ("session", hash) => Some(Change::Session(SessionHash(unhex(hash)?))),
        ("user", name) => Some(Change::User(UserName(unhex(name)?))),
        (_, _) => None,
    };
    // An unknown payload comes from a newer schema: everything may have changed.
    change().unwrap_or(Change::Everything)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_announcement_names_its_record_and_an_unknown_one_means_everything() {
        let id = GrantId([0xab; 16]);
        assert_eq!(parse(&format!("grant {id}")), Change::Grant(id));
        assert_eq!(parse(&format!("session {}", "01".repeat(32))), Change::Session(SessionHash([1; 32])));
        assert_eq!(parse(&format!("user {}", "02".repeat(32))), Change::User(UserName([2; 32])));
        for odd in ["", "grant", "grant xx", "session 01", "other 01"] {
            assert_eq!(parse(odd), Change::Everything, "{odd:?}");
        }
    }
}
