//! Users whom a SCIM client provisions: no change undoes another that was made meanwhile.

use evergate::{
    clock::Timestamp,
    session::{UserKey, UserName},
    store::{OwnNames, ScimDeleted, ScimFilter, ScimSaved, ScimUser, Store},
};

use super::{REGISTRATION, contract};

const FOR_GOOD: Option<Timestamp> = Some(Timestamp(i64::MAX));

/// Nobody here has names that others may have later.
static OWN: OwnNames = OwnNames { user_names: Vec::new(), identifiers: Vec::new() };

fn named(id: &str, active: bool) -> ScimUser {
    ScimUser {
        id: id.into(),
        issuer: "https://idp".into(),
        client_id: "c".into(),
        user_name: format!("{id}@x.example"),
        external_id: None,
        profile: "{}".into(),
        active,
        created_at: Timestamp(1000),
        changed_at: Timestamp(1000),
    }
}

fn name(text: &str) -> UserName {
    UserKey::email(text).name(REGISTRATION)
}

async fn all(store: &Store) -> Vec<ScimUser> {
    store.scim_users("https://idp", &["c"], &ScimFilter::All, (0, 10)).await.unwrap().0
}

contract! {
    a_user_who_has_changed_meanwhile_is_neither_saved_nor_deleted(store) {
        let (ann, names) = (named("ann", true), [name("ann")]);
        assert_eq!(store.save_scim_user(&ann, None, &names, &OWN).await.unwrap(), ScimSaved::Saved { blocked: vec![] });
        let gone = ScimUser { active: false, changed_at: Timestamp(2000), ..ann.clone() };
        let saved = ScimSaved::Saved { blocked: names.to_vec() };
        assert_eq!(store.save_scim_user(&gone, Some(&ann), &names, &OWN).await.unwrap(), saved);
        let renamed = ScimUser { user_name: "anna".into(), ..ann.clone() };
        assert_eq!(store.save_scim_user(&renamed, Some(&ann), &names, &OWN).await.unwrap(), ScimSaved::Changed);
        assert_eq!(store.save_scim_user(&renamed, None, &names, &OWN).await.unwrap(), ScimSaved::Changed);
        assert_eq!(store.delete_scim_user(&ann, &OWN).await.unwrap(), ScimDeleted::Changed);
        assert_eq!((all(&store).await, store.user_ended_at(&names).await.unwrap()), (vec![gone.clone()], FOR_GOOD));
        // A response may be lost, and the statement sent again.
        assert_eq!(store.save_scim_user(&gone, Some(&ann), &names, &OWN).await.unwrap(), saved);
        assert_eq!(store.delete_scim_user(&gone, &OWN).await.unwrap(), ScimDeleted::Deleted);
        assert_eq!(store.delete_scim_user(&gone, &OWN).await.unwrap(), ScimDeleted::Deleted);
        assert_eq!(store.save_scim_user(&ann, Some(&gone), &names, &OWN).await.unwrap(), ScimSaved::Changed, "what is deleted stays so");
        assert_eq!((all(&store).await, store.user_ended_at(&names).await.unwrap()), (vec![], FOR_GOOD));
    }
    of_changes_at_the_same_time_one_counts(store) {
        let ann = named("ann", true);
        store.save_scim_user(&ann, None, &[name("ann")], &OWN).await.unwrap();
        let changed: Vec<_> = (0..8).map(|at| ScimUser { profile: format!("{{\"display_name\":\"{at}\"}}"), ..ann.clone() }).collect();
        let names = [name("ann")];
        let saves = changed.iter().map(|user| store.save_scim_user(user, Some(&ann), &names, &OWN));
        let saved = futures_util::future::join_all(saves).await;
        assert_eq!(saved.iter().filter(|saved| matches!(saved, Ok(ScimSaved::Saved { .. }))).count(), 1, "{saved:?}");
    }
    a_name_is_of_one_user_and_locks_out_whoever_has_it_while_nobody_active_does(store) {
        let (ann, bob, shared) = (named("ann", false), named("bob", true), name("shared"));
        store.save_scim_user(&bob, None, &[name("bob"), shared], &OWN).await.unwrap();
        let saved = store.save_scim_user(&ann, None, &[name("ann"), shared], &OWN).await.unwrap();
        assert_eq!(saved, ScimSaved::Saved { blocked: vec![name("ann")] });
        let taken = ScimUser { id: "other".into(), user_name: "BOB@x.example".into(), ..named("other", true) };
        assert_eq!(store.save_scim_user(&taken, None, &[], &OWN).await.unwrap(), ScimSaved::NameTaken);
        let saved = store.save_scim_user(&bob, Some(&bob), &[name("bob")], &OWN).await.unwrap();
        assert_eq!(saved, ScimSaved::Saved { blocked: vec![shared] });
        assert_eq!(store.user_ended_at(&[shared]).await.unwrap(), FOR_GOOD);
        // Renamed while locked out, and active again: no name is left behind.
        let renamed = ScimUser { user_name: "anna".into(), ..ann.clone() };
        store.save_scim_user(&renamed, Some(&ann), &[name("anna")], &OWN).await.unwrap();
        assert_eq!(store.user_ended_at(&[name("ann")]).await.unwrap(), FOR_GOOD);
        let active = ScimUser { active: true, changed_at: Timestamp(3000), ..renamed.clone() };
        store.save_scim_user(&active, Some(&renamed), &[name("anna")], &OWN).await.unwrap();
        for let_in in [name("ann"), name("anna"), shared] {
            assert_eq!(store.user_ended_at(&[let_in]).await.unwrap(), Some(Timestamp(2999)));
        }
    }

    a_login_lets_no_tokens_in_of_a_user_whom_a_directory_has_locked_out_meanwhile(store) {
        let (ann, tokens, issuer) = (named("ann", false), [name("tokens of ann")], "https://idp");
        store.save_scim_user(&ann, None, &[name("ann")], &OWN).await.unwrap();
        store.lock_out_also(&ann, &tokens).await.unwrap();
        store.let_tokens_in(issuer, &tokens, &[name("ann"), name("anna")], Timestamp(2000)).await.unwrap();
        assert_eq!(store.user_ended_at(&tokens).await.unwrap(), FOR_GOOD, "the login was let in a moment before");
        store.let_tokens_in(issuer, &tokens, &[name("anna")], Timestamp(2000)).await.unwrap();
        assert_eq!(store.user_ended_at(&tokens).await.unwrap(), Some(Timestamp(1999)), "the directory knows her as another");
    }
}
