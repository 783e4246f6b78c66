//! The renewal storm, and what costs the grant to find out.

use std::time::Duration;

use evergate::doctor::{Errand, Extent};
use serde_json::json;

use super::{Person, examine, provider};
use crate::harness::idp::{Endpoint, Idp, Misbehaviour, Rotation};

const STORM: Extent = Extent { storm: true, destructive: false };
const DESTRUCTIVE: Extent = Extent { storm: false, destructive: true };

#[tokio::test(flavor = "multi_thread")]
async fn in_a_storm_over_two_replicas_the_provider_is_called_once() {
    let (idp, _line) = provider().await;
    let report = examine(&mut Person::at(&idp), STORM).await.json();
    let storm = &report["facts"]["storm"];
    assert_eq!((&storm["requests"], &storm["answered"], &storm["calls"]), (&json!(100), &json!(100), &json!(1)), "{report:#}");
    assert_eq!(idp.presented_and_renewed(), (3, 3), "two renewals, and the storm's");
    assert_eq!((idp.reuses(), idp.has_live_refresh_token()), (0, false));
}

#[tokio::test]
async fn reuse_logout_and_revocation_are_told_as_the_provider_has_them() {
    use Errand::{Login, LoginAgain, Logout};
    type Prepare = fn(&Idp);
    let ignore_revocation: Prepare =
        |idp| idp.misbehave(Endpoint::Revocation, Misbehaviour::Answer(200, String::new(), Vec::new()));
    let end_all: Prepare = Idp::kill_grants;
    let nothing: Prepare = |_| {};
    let no_endpoints: Prepare = |idp| idp.set_metadata(json!({"revocation_endpoint": null, "end_session_endpoint": null}));
    let grace = Rotation::Grace(Duration::from_secs(3600));
    // How it rotates, what else it does, what it does at a logout; reuse, logout, revocation; what the browser is sent for.
    let cases = [
        (Rotation::Strict, nothing, end_all, ["ends_grant", "ended", "works"], vec![Login, LoginAgain, Logout, LoginAgain]),
        (Rotation::Strict, nothing, nothing, ["ends_grant", "survived", "works"], vec![Login, LoginAgain, Logout]),
        (Rotation::Unpunished, nothing, nothing, ["refused", "survived", "works"], vec![Login, Logout]),
        (grace, nothing, nothing, ["accepted", "survived", "works"], vec![Login, Logout]),
        (Rotation::Reusable, nothing, end_all, ["not_rotated", "ended", "works"], vec![Login, Logout, LoginAgain]),
        (Rotation::Unpunished, ignore_revocation, nothing, ["refused", "survived", "has_no_effect"], vec![Login, Logout]),
        (Rotation::Unpunished, no_endpoints, nothing, ["refused", "no_endpoint", "no_endpoint"], vec![Login]),
    ];
    for (rotation, prepare, at_logout, [reuse, logout, revocation], errands) in cases {
        let (idp, _line) = provider().await;
        idp.rotate_as(rotation);
        prepare(&idp);
        let mut person = Person { at_logout, ..Person::at(&idp) };
        let report = examine(&mut person, DESTRUCTIVE).await.json();
        let expected = json!({"reuse": reuse, "logout": logout, "revocation": revocation});
        assert_eq!(report["facts"]["destructive"], expected, "{rotation:?}: {report:#}");
        assert_eq!(person.errands, errands, "{rotation:?}");
        assert_eq!(report["level"] == "error", revocation == "has_no_effect", "{rotation:?}: {report:#}");
        assert!(revocation != "works" || !idp.has_live_refresh_token(), "{rotation:?}: a token lives on");
    }
}

#[tokio::test]
async fn without_destructive_nothing_is_presented_twice_and_nobody_is_logged_out() {
    let (idp, _line) = provider().await;
    let mut person = Person::at(&idp);
    let report = examine(&mut person, Extent::default()).await.json();
    assert_eq!(person.errands, [Errand::Login]);
    assert_eq!((idp.reuses(), &report["facts"]["destructive"], &report["facts"]["storm"]), (0, &json!(null), &json!(null)));
}
