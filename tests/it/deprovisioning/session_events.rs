//! Security events about one session of a user, of whom the provider says in no ID token which session it is.

use super::{
    security_events::{CAEP, of_provider, push},
    *,
};
use crate::harness::{Kind, visitor::path_of};

#[tokio::test]
async fn an_event_about_a_user_s_session_ends_also_their_sessions_that_do_not_say_of_which_one_they_came() {
    for kind in [Kind::Sqlite, Kind::Postgres] {
        let world = world().on(kind).start().await;
        world.idp.log_in_as(user("bob"));
        let other = world.signed_in().await;
        world.idp.log_in_as(user("ann"));
        for named in [
            json!({"format": "iss_sub", "iss": world.idp.issuer(), "sub": "sub-ann"}),
            json!({"format": "email", "email": "ANN@example.com"}),
        ] {
            world.idp.edit_id_token(|_| {});
            let unsaid = world.signed_in().await;
            // One that comes back when the session at the provider has ended.
            let under_way = world.visitor();
            let callback = world.idp.authorize(&under_way.get("/page").await.location()).await;
            world.idp.edit_id_token(|claims| claims["sid"] = json!("idx-another"));
            let said = world.signed_in().await;
            world.idp.edit_id_token(|_| {});
            let token = bearer(&world.idp, "sub-ann");
            let subject = json!({"format": "complex", "user": named, "session": {"format": "opaque", "id": "idx-102"}});
            // In the present form, and in that of earlier drafts.
            let within = json!({"sub_id": null, "events": {format!("{CAEP}/session-revoked"): {"subject": subject}}});
            world.clock.advance(Duration::from_secs(5));
            let edits = if kind == Kind::Sqlite { json!({"sub_id": subject}) } else { within };
            assert_eq!(push(&world, &of_provider(&world.idp, edits, json!({}))).await.status, StatusCode::ACCEPTED);
            assert_eq!(unsaid.fetch("/").await.status, StatusCode::UNAUTHORIZED, "{subject}");
            assert!(said.get("/").await.is_upstreams(), "it is another one at the provider");
            assert_eq!(call(&world.visitor(), &token).await, StatusCode::OK, "a session ends, and not the user");
            let again = under_way.get(&path_of(&callback)).await.location();
            assert!(again.as_str().starts_with(world.idp.issuer()), "it begins anew: {again}");
            world.clock.advance(Duration::from_secs(120));
        }
        assert!(other.get("/").await.is_upstreams(), "of another user");
    }
}
