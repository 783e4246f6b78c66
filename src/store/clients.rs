//! Which clients Evergate is and was at providers, and which of them have come after one another.
//!
//! Whom a directory has locked out, and what an order ends, is so for each client of a lineage: `CODER_OIDC_CLIENT_ID` was changed, or is
//! on some replicas. That one client comes after another is seen at a start alone. That a client is there no more says nothing: an
//! issuer may have had two at a time, of which one was removed.

use crate::client_registration::ClientRegistration;

/// A client that Evergate is or was at a provider.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnownClient {
    /// The provider's issuer identifier.
    pub issuer: String,
    /// The client ID.
    pub client_id: String,
    /// What it has in common with the clients that it came after or that came after it, and with no other of the issuer.
    pub lineage: String,
    /// Whether the last start with this issuer was with this client.
    pub is_present: bool,
    /// How many users a SCIM client has deactivated who were provisioned to it.
    pub locked_out: i64,
}

/// All of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KnownClients(Vec<KnownClient>);

impl KnownClients {
    /// Those that starts have `recorded`, and those that the store knows otherwise, of which `counted` also has how many users each has
    /// who are deactivated. Releases that recorded no starts knew each client that they were: one that was the only one of its issuer was
    /// there at the last start.
    pub(in crate::store) fn of(recorded: Vec<KnownClient>, counted: &[(String, String, i64)]) -> Self {
        let mut known = recorded;
        let were_recorded: Vec<_> = known.iter().map(|client| client.issuer.clone()).collect();
        let is_only = |issuer: &String| counted.iter().filter(|(other, ..)| other == issuer).count() == 1;
        for (issuer, client_id, locked_out) in counted {
            match known.iter_mut().find(|client| client.issuer == *issuer && client.client_id == *client_id) {
                Some(client) => client.locked_out = *locked_out,
                None => known.push(KnownClient {
                    issuer: issuer.clone(),
                    client_id: client_id.clone(),
                    lineage: client_id.clone(),
                    is_present: !were_recorded.contains(issuer) && is_only(issuer),
                    locked_out: *locked_out,
                }),
            }
        }
        Self(known)
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &KnownClient> {
        self.0.iter()
    }

    /// The clients of the issuer that have come after one another with this one, without itself.
    pub fn lineage_of(&self, of: ClientRegistration<'_>) -> Vec<&str> {
        let of_issuer = || self.iter().filter(|client| client.issuer == of.issuer);
        let Some(own) = of_issuer().find(|client| client.client_id == of.client_id) else { return Vec::new() };
        let of_lineage = of_issuer().filter(|client| client.lineage == own.lineage && client.client_id != of.client_id);
        of_lineage.map(|client| client.client_id.as_str()).collect()
    }

    /// All of them after a start with the `configured` clients. A client has come after another if it is the only one of an issuer, and
    /// the last start with that issuer had another one, and only that.
    #[must_use]
    pub fn after_start(self, configured: &[ClientRegistration<'_>]) -> Self {
        let mut known = self.0;
        for ClientRegistration { issuer, client_id } in configured {
            if !known.iter().any(|client| client.issuer == *issuer && client.client_id == *client_id) {
                known.push(KnownClient {
                    issuer: (*issuer).to_owned(),
                    client_id: (*client_id).to_owned(),
                    lineage: (*client_id).to_owned(),
                    is_present: false,
                    locked_out: 0,
                });
            }
        }
        for registration in configured {
            let is_now = |client: &KnownClient| {
                configured.contains(&ClientRegistration { issuer: registration.issuer, client_id: &client.client_id })
            };
            let (mut of_issuer, _): (Vec<_>, Vec<_>) = known.iter_mut().partition(|client| client.issuer == registration.issuer);
            let before: Vec<_> =
                of_issuer.iter().filter(|client| client.is_present).map(|client| client.lineage.clone()).collect();
            let now: Vec<_> = of_issuer.iter().filter(|client| is_now(client)).map(|client| client.lineage.clone()).collect();
            if let ([before], [now]) = (before.as_slice(), now.as_slice()) {
                for client in of_issuer.iter_mut().filter(|client| client.lineage == *now) {
                    client.lineage.clone_from(before);
                }
            }
            for client in of_issuer {
                client.is_present = is_now(client);
            }
        }
        Self(known)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(issuer: &'static str, client_id: &'static str) -> ClientRegistration<'static> {
        ClientRegistration { issuer, client_id }
    }

    /// The lineage of a client after starts with these clients of one issuer.
    fn lineage(starts: &[&[&'static str]], of: &'static str) -> String {
        let after = starts.iter().fold(KnownClients::default(), |known, clients| {
            known.after_start(&clients.iter().map(|client_id| at("i", client_id)).collect::<Vec<_>>())
        });
        after.lineage_of(at("i", of)).join(" ")
    }

    #[test]
    fn a_client_comes_after_another_only_where_one_alone_was_changed_for_one_alone() {
        for (what, starts, of, expected) in [
            ("the first start", &[&["a"][..]][..], "a", ""),
            ("a start as before", &[&["a"], &["a"]], "a", ""),
            ("another client", &[&["a"], &["b"]], "b", "a"),
            ("a rollback", &[&["a"], &["b"], &["a"]], "a", "b"),
            ("a third one", &[&["a"], &["b"], &["c"]], "b", "a c"),
            ("a second provider beside it", &[&["a"], &["a", "b"]], "a", ""),
            ("a provider that is removed", &[&["a", "b"], &["a"]], "a", ""),
            ("and is put back", &[&["a", "b"], &["a"], &["a", "b"]], "b", ""),
            ("a client that follows the one that is left", &[&["a", "b"], &["a"], &["c"]], "c", "a"),
            ("one of two that is changed", &[&["a", "b"], &["a", "c"]], "c", ""),
            ("a provider that comes after a change", &[&["a"], &["b"], &["b", "c"]], "b", "a"),
            ("the same", &[&["a"], &["b"], &["b", "c"]], "c", ""),
            ("unknown", &[&["a"]], "x", ""),
        ] {
            assert_eq!(lineage(starts, of), expected, "{what}");
        }
    }

    #[test]
    fn another_issuer_is_another_provider_and_one_that_comes_back_has_followed_none_of_its_clients() {
        let known = KnownClients::default().after_start(&[at("i", "a")]).after_start(&[at("j", "a"), at("j", "b")]);
        assert_eq!(known.lineage_of(at("j", "a")), [""; 0]);
        assert_eq!(known.after_start(&[at("i", "b"), at("j", "a")]).lineage_of(at("i", "b")), ["a"]);
    }

    #[test]
    fn of_what_releases_before_have_known_the_only_client_of_an_issuer_was_there_last() {
        let counted = || [("i".into(), "a".into(), 2), ("j".into(), "x".into(), 0), ("j".into(), "y".into(), 1)];
        let known = KnownClients::of(Vec::new(), &counted()).after_start(&[at("i", "b"), at("j", "z")]);
        assert_eq!((known.lineage_of(at("i", "b")), known.lineage_of(at("j", "z"))), (vec!["a"], vec![]));
        let recorded = known.iter().filter(|client| client.issuer == "i").cloned().collect();
        let again = KnownClients::of(recorded, &counted());
        assert_eq!(again.iter().find(|client| client.client_id == "a").map(|client| client.locked_out), Some(2));
        assert!(again.iter().all(|client| client.is_present == (client.client_id == "b")), "{again:?}");
    }
}
