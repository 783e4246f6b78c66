//! Ends sessions and renews grants, from the command line.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, bail};
use tokio_util::sync::CancellationToken;

use super::find;
use crate::{
    administration::{Action, Actor, Administration},
    cli::output::{print_out, printable},
    grant::GrantId,
    identity::Identity,
    renewal::RefreshedNow,
    sign_out::{LogoutInitiator, SignOut},
    store::ListedSession,
};

/// Reads the metadata of all providers. Sessions end locally even if one cannot be reached.
pub(super) async fn discover(administration: &Administration) {
    for provider in administration.sign_out.providers.iter() {
        if let Err(error) = provider.discover().await {
            print_out(&format!(
                "the provider {} cannot be reached; refresh tokens are revoked there by the next gateway that runs: {error}\n",
                provider.issuer()
            ));
        }
    }
}

/// Whoever may read the settings may do all that an administrator may.
fn actor() -> Actor {
    Actor { who: "the command line".to_owned(), session: None }
}

/// Ends these sessions, which are everybody's without a name.
pub(super) async fn end(administration: &Administration, name: Option<&str>, sessions: Vec<ListedSession>) -> anyhow::Result<()> {
    let (sign_out, actor) = (&administration.sign_out, actor());
    let end_all = async |sessions: &[ListedSession]| {
        let mut failures = 0;
        for listed in sessions {
            let (short, identity) = (listed.session.hash.short(), &listed.grant.identity);
            let ended = sign_out.end_other(listed.session.hash, LogoutInitiator::Administrator).await;
            if name.is_some() {
                let outcome = if ended.is_ok() { "ok" } else { "failed" };
                administration.record(
                    &actor,
                    Action::EndSession,
                    (listed.grant.id, Some(listed.session.hash), identity),
                    outcome,
                );
            }
            match ended {
                Ok(()) => print_out(&format!("ended session {short} of {}\n", printable(identity.display()))),
                Err(error) => {
                    failures += 1;
                    print_out(&format!("session {short} could not be ended: {error}\n"));
                }
            }
        }
        failures
    };
    let mut failures = match name {
        Some(name) => refuse_bearer_tokens(sign_out, name, &sessions).await,
        None => 0,
    };
    failures += end_all(&sessions).await;
    // A token that was made of one of them while the others ended.
    let mut made_meanwhile = match name {
        Some(name) => find::named(administration, name).await?,
        None => find::all(administration).await?,
    };
    made_meanwhile.retain(|listed| {
        listed.session.token.is_some() && sessions.iter().all(|ended| ended.session.hash != listed.session.hash)
    });
    failures += end_all(&made_meanwhile).await;
    if name.is_none() {
        let outcome = if failures == 0 { "ok" } else { "failed" };
        administration.record(&actor, Action::EndEveryone, (GrantId([0; 16]), None, &Identity::default()), outcome);
    }
    // What has ended is revoked and recorded even if others failed.
    sign_out.tasks.close();
    sign_out.tasks.wait().await;
    sign_out.revoke_due().await;
    administration.store.flush_events().await;
    if failures > 0 {
        bail!("{failures} sessions could not be ended");
    }
    Ok(())
}

/// Refuses the provider's bearer tokens of the users that `name` is a name of, and says for how many that failed. Whoever names a session
/// means that alone.
async fn refuse_bearer_tokens(sign_out: &SignOut, name: &str, sessions: &[ListedSession]) -> usize {
    let of_user = sessions.iter().filter(|listed| listed.session.hash.short() != name);
    let users: BTreeSet<_> = of_user.map(|listed| (&listed.grant.issuer, &listed.grant.identity.subject)).collect();
    let mut failures = 0;
    for (issuer, subject) in users {
        if let Err(error) = sign_out.refuse_bearer_tokens_of(issuer, subject).await {
            failures += 1;
            print_out(&format!("bearer tokens of {} could not be refused: {error}\n", printable(subject)));
        }
    }
    failures
}

/// Renews the grants of these sessions as a replica does: with a heartbeat, by which others know that it lives.
pub(super) async fn renew(administration: &Administration, sessions: &[ListedSession]) -> anyhow::Result<()> {
    let (store, stop) = (&administration.store, CancellationToken::new());
    let (beating, announcing, ended) = (store.clone(), store.clone(), stop.clone());
    let heartbeat = stop.clone();
    tokio::spawn(async move { heartbeat.run_until_cancelled(beating.run_heartbeat()).await });
    let announcer = tokio::spawn(async move { announcing.run_announcer(ended).await });
    let grants: BTreeMap<_, _> = sessions.iter().map(|listed| (listed.grant.id.0, listed)).collect();
    let mut failures = 0;
    for listed in grants.values() {
        let renewed = administration.renew(&actor(), listed.grant.id).await.context("the grant could not be read")?;
        let said = match renewed {
            Some(RefreshedNow::Renewed) => "renewed".to_owned(),
            Some(RefreshedNow::Unavailable(wait)) => format!("the provider cannot be asked for {} s", wait.as_secs().max(1)),
            Some(other) => other.name().replace('_', " "),
            None => "gone".to_owned(),
        };
        failures += usize::from(renewed != Some(RefreshedNow::Renewed));
        print_out(&format!("grant {} of {}: {said}\n", listed.grant.id, printable(listed.grant.identity.display())));
    }
    administration.renewer.finish().await;
    store.flush_events().await;
    stop.cancel();
    let _is_logged = announcer.await;
    store.stop_heartbeat().await;
    if failures > 0 {
        bail!("{failures} grants were not renewed");
    }
    Ok(())
}
