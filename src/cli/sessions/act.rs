//! Ends sessions and renews grants, from the command line.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, anyhow, bail, ensure};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::find;
use crate::{
    administration::{Actor, Administration, Step, Whose, words},
    cli::{
        output::{print_out, printable},
        signals::Signals,
    },
    language::Language,
    renewal::RefreshedNow,
    store::{ListedSession, Store},
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

/// What is written beside a command as beside a gateway: events as they come, because the buffer drops the oldest of very many, and what
/// the providers were asked.
struct Records {
    store: Store,
    stop: CancellationToken,
    writer: JoinHandle<()>,
}

impl Records {
    fn begin(store: &Store) -> Self {
        let (store, stop) = (store.clone(), CancellationToken::new());
        let (writing, until) = (store.clone(), stop.clone());
        Self { writer: tokio::spawn(async move { writing.run_event_writer(until).await }), store, stop }
    }

    /// Writes what is left.
    async fn finish(self) -> anyhow::Result<()> {
        self.stop.cancel();
        let _is_logged = self.writer.await;
        ensure!(self.store.flush_events().await, "the history of what was done could not be written");
        Ok(())
    }
}

/// Ends sessions, of the provider with this `issuer` alone if one is given.
pub(super) async fn end(administration: &Administration, whose: Whose<'_>, issuer: Option<&str>) -> anyhow::Result<()> {
    let actor = Actor::command_line();
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
    // Before anything ends: a signal must not take its history with it.
    let mut signals = Signals::install()?;
    let records = Records::begin(&administration.store);
    let (ended, is_cut) = tokio::select! {
        ended = administration.end(&actor, whose, issuer, told) => (ended.context(find::UNREADABLE), false),
        signal = signals.next() => {
            (Err(anyhow!("{} came: not all may have ended, and it can be repeated", signal.name())), true)
        }
    };
    let found_nobody = ended.as_ref().is_ok_and(|ended| ended.count + ended.failures == 0);
    // Who does not wait for it leaves the provider to a gateway, or to the next command.
    let asks_provider = !found_nobody && !is_cut;
    if asks_provider {
        discover(administration).await;
    }
    // What has ended is revoked and recorded even if others failed.
    let sign_out = &administration.sign_out;
    sign_out.tasks.close();
    sign_out.tasks.wait().await;
    if asks_provider {
        sign_out.revoke_due().await;
    }
    let written = records.finish().await;
    let ended = ended?;
    if !ended.unclear.is_empty() {
        let names = listed(&ended.unclear);
        bail!("nothing has ended, because {names} differ in case alone: write one of them as it is, or the user's sub");
    }
    if found_nobody {
        bail!(NOBODY);
    }
    if !ended.spared.is_empty() {
        print_out(&format!("left as they are, because their names differ in case: {}\n", listed(&ended.spared)));
    }
    if ended.failures > 0 {
        bail!("{} sessions could not be ended", ended.failures);
    }
    written
}

/// Names that users have.
fn listed(names: &BTreeSet<String>) -> String {
    names.iter().map(|name| printable(name)).collect::<Vec<_>>().join(", ")
}

/// Renews the grants of these sessions as a replica does: with a heartbeat, by which others know that it lives.
pub(super) async fn renew(administration: &Administration, sessions: &[ListedSession]) -> anyhow::Result<()> {
    if sessions.is_empty() {
        bail!(NOBODY);
    }
    discover(administration).await;
    let (store, stop, records) = (&administration.store, CancellationToken::new(), Records::begin(&administration.store));
    let (beating, announcing, ended) = (store.clone(), store.clone(), stop.clone());
    let heartbeat = stop.clone();
    tokio::spawn(async move { heartbeat.run_until_cancelled(beating.run_heartbeat()).await });
    let announcer = tokio::spawn(async move { announcing.run_announcer(ended).await });
    let grants: BTreeMap<_, _> = sessions.iter().map(|listed| (listed.grant.id.0, listed)).collect();
    let mut failures = 0;
    for listed in grants.values() {
        let renewed =
            administration.renew(&Actor::command_line(), listed.grant.id).await.context("the grant could not be read")?;
        let said = match renewed {
            Some(RefreshedNow::Renewed) => "renewed".to_owned(),
            Some(RefreshedNow::Unavailable(wait)) => format!("the provider cannot be asked for {} s", wait.as_secs().max(1)),
            Some(other) => words::not_renewed(other.name(), Language::English),
            None => "gone".to_owned(),
        };
        failures += usize::from(renewed != Some(RefreshedNow::Renewed));
        print_out(&format!("grant {} of {}: {said}\n", listed.grant.id, printable(listed.grant.identity.display())));
    }
    administration.renewer.finish().await;
    let written = records.finish().await;
    stop.cancel();
    let _is_logged = announcer.await;
    store.stop_heartbeat().await;
    if failures > 0 {
        bail!("{failures} grants were not renewed");
    }
    written
}
