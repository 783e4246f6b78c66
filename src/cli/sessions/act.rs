//! Ends sessions and renews grants, from the command line.

use std::collections::BTreeMap;

use anyhow::{Context, bail};
use tokio_util::sync::CancellationToken;

use super::find;
use crate::{
    administration::{Actor, Administration, Step, Whose},
    cli::output::{print_out, printable},
    renewal::RefreshedNow,
    store::ListedSession,
};

const NOBODY: &str = "nobody by that name has a session here";

/// Reads the metadata of all providers. Sessions end locally even if one cannot be reached.
async fn discover(administration: &Administration) {
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
    Actor { who: "the command line".to_owned(), issuer: None, session: None }
}

/// Ends sessions, of the provider with this `issuer` alone if one is given.
pub(super) async fn end(administration: &Administration, whose: Whose<'_>, issuer: Option<&str>) -> anyhow::Result<()> {
    let told = |step: Step<'_>| match step {
        Step::Session(listed, Ok(())) => {
            let user = printable(listed.grant.identity.display());
            print_out(&format!("ended session {} of {user}\n", listed.session.hash.short()));
        }
        Step::Session(listed, Err(error)) => {
            print_out(&format!("session {} could not be ended: {error}\n", listed.session.hash.short()));
        }
        Step::BearerTokens(subject, error) => {
            print_out(&format!("bearer tokens of {} could not be refused: {error}\n", printable(subject)));
        }
    };
    let ended = administration.end(&actor(), whose, issuer, told).await;
    let found_nobody = ended.as_ref().is_ok_and(|ended| ended.count + ended.failures == 0);
    if !found_nobody {
        discover(administration).await;
    }
    // What has ended is revoked and recorded even if others failed.
    let sign_out = &administration.sign_out;
    sign_out.tasks.close();
    sign_out.tasks.wait().await;
    sign_out.revoke_due().await;
    administration.store.flush_events().await;
    let failures = ended.context(find::UNREADABLE)?.failures;
    if found_nobody {
        bail!(NOBODY);
    }
    if failures > 0 {
        bail!("{failures} sessions could not be ended");
    }
    Ok(())
}

/// Renews the grants of these sessions as a replica does: with a heartbeat, by which others know that it lives.
pub(super) async fn renew(administration: &Administration, sessions: &[ListedSession]) -> anyhow::Result<()> {
    if sessions.is_empty() {
        bail!(NOBODY);
    }
    discover(administration).await;
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
