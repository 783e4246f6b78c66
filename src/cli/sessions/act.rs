//! Ends sessions and renews grants, from the command line.

use std::{
    collections::{BTreeMap, BTreeSet},
    pin::pin,
};

use anyhow::{Context, anyhow, bail, ensure};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::find;
use crate::{
    administration::{Actor, Administration, Identified, IdentifiedKind, Meant, Step, Whose, words},
    cli::{
        nobody::Nobody,
        output::{ActionOutput, print_error, printable},
        recorded::UNWRITTEN,
        signals::{Signal, Signals},
    },
    language::Language,
    renewal::RefreshedNow,
    store::{ListedSession, Store},
};

/// Reads the metadata of all providers. Sessions end locally even if one cannot be reached.
async fn discover(administration: &Administration, output: &mut ActionOutput) {
    for provider in administration.sign_out.providers.iter() {
        if let Err(error) = provider.discover().await {
            output.print(&format!(
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
        ensure!(self.store.flush_events().await, UNWRITTEN);
        Ok(())
    }
}

/// Ends sessions, of the provider with this `issuer` alone if one is given.
pub(super) async fn end(administration: &Administration, whose: Whose<'_>, issuer: Option<&str>) -> anyhow::Result<()> {
    let actor = Actor::command_line();
    let mut output = ActionOutput::default();
    let told = |step: Step<'_>| output.print(&words_of(&step));
    // Before anything ends: a signal must not take its history with it.
    let mut signals = Signals::install()?;
    let records = Records::begin(&administration.store);
    let ended = signals.unless_one_comes(administration.end(&actor, whose, issuer, told)).await;
    // What is under way is ended and recorded, whatever became of the others.
    let sign_out = &administration.sign_out;
    sign_out.tasks.close();
    sign_out.tasks.wait().await;
    let found_nobody = matches!(&ended, Ok(Ok(ended)) if ended.count + ended.failures == 0);
    // Who does not wait for it leaves the provider to a gateway, or to the next command.
    let revoked = if found_nobody || ended.is_err() {
        Ok(())
    } else {
        let at_providers = async {
            discover(administration, &mut output).await;
            sign_out.revoke_due().await;
        };
        signals.unless_one_comes(at_providers).await
    };
    let written = records.finish().await;
    let ended = ended
        .map_err(|signal| anyhow!("{} came: not all may have ended, and it can be repeated", signal.name()))?
        .context(find::UNREADABLE)?;
    if !ended.unclear.is_empty() {
        bail!("nothing has ended, because {}", unclear(&ended.unclear));
    }
    if !ended.ambiguous.is_empty() {
        bail!("nothing has ended, because {}", ambiguous(&ended.ambiguous));
    }
    if found_nobody {
        bail!(Nobody::WithSession);
    }
    if !ended.spared.is_empty() {
        output.print(&format!("left as they are, because their names differ in case: {}\n", listed(&ended.spared)));
    }
    if ended.failures > 0 {
        bail!("{} sessions could not be ended", ended.failures);
    }
    if let Err(signal) = revoked {
        let signal = signal.name();
        bail!("{signal} came: all have ended, and refresh tokens that are not revoked yet are so by the next gateway that runs");
    }
    written?;
    output.finish()
}

fn words_of(step: &Step<'_>) -> String {
    match step {
        Step::Session(listed, Ok(())) => {
            let user = printable(listed.grant.identity.display());
            format!("ended session {} of {user}\n", listed.session.hash.short())
        }
        Step::Session(listed, Err(error)) => {
            format!("session {} could not be ended: {error}\n", listed.session.hash.short())
        }
        Step::BearerTokens(subject, error) => {
            format!("bearer tokens of {} could not be refused: {error}\n", printable(subject))
        }
    }
}

/// Names that users have.
fn listed(names: &BTreeSet<String>) -> String {
    names.iter().map(|name| printable(name)).collect::<Vec<_>>().join(", ")
}

/// Why a name that differs from several in case alone means nobody.
fn unclear(names: &BTreeSet<String>) -> String {
    format!("{} differ in case alone: write one of them as it is, or the user's sub", listed(names))
}

/// So many identifiers that begin alike are told.
const MOST_TOLD: usize = 10;

/// Why the beginning of several identifiers means none of them.
fn ambiguous(identified: &[Identified]) -> String {
    let told = identified.iter().take(MOST_TOLD).map(|Identified { kind, id, user }| {
        let kind = match kind {
            IdentifiedKind::Session => "session",
            IdentifiedKind::Grant => "grant",
        };
        format!("{kind} {id} of {}", printable(user))
    });
    let told = told.collect::<Vec<_>>().join(", ");
    let more = if identified.len() > MOST_TOLD { format!(" and {} more", identified.len() - MOST_TOLD) } else { String::new() };
    format!("several begin so: {told}{more}; write as much of one")
}

/// Renews the grants of whom a name means, and of those of the provider with this `issuer` alone if one is given.
pub(super) async fn renew(administration: &Administration, name: &str, issuer: Option<&str>) -> anyhow::Result<()> {
    match administration.meant(name, issuer).await.context(find::UNREADABLE)? {
        Meant::These(sessions, _) => renew_sessions(administration, &sessions).await,
        Meant::Unclear(names) => bail!("nothing was renewed, because {}", unclear(&names)),
        Meant::Ambiguous(identified) => bail!("nothing was renewed, because {}", ambiguous(&identified)),
    }
}

/// Renews the grants of these sessions as a replica does: with a heartbeat, by which others know that it lives. Nothing else has a rotated
/// token, so that whatever ends the command, what the provider has given is saved first.
async fn renew_sessions(administration: &Administration, sessions: &[ListedSession]) -> anyhow::Result<()> {
    if sessions.is_empty() {
        bail!(Nobody::WithSession);
    }
    let mut output = ActionOutput::default();
    let mut signals = Signals::install()?;
    let (store, stop, records) = (&administration.store, CancellationToken::new(), Records::begin(&administration.store));
    let (beating, announcing, ended) = (store.clone(), store.clone(), stop.clone());
    let heartbeat = stop.clone();
    tokio::spawn(async move { heartbeat.run_until_cancelled(beating.run_heartbeat()).await });
    let announcer = tokio::spawn(async move { announcing.run_announcer(ended).await });
    let renewed = match signals.unless_one_comes(discover(administration, &mut output)).await {
        Ok(()) => renew_each(administration, sessions, &mut signals, &mut output).await,
        Err(signal) => Err(stopped(signal)),
    };
    let is_saved = administration.renewer.finish().await;
    let written = records.finish().await;
    stop.cancel();
    let _is_logged = announcer.await;
    store.stop_heartbeat().await;
    let failures = renewed?;
    ensure!(is_saved, "a renewal has no outcome yet, and a token that the provider gave may be lost with it");
    if failures > 0 {
        bail!("{failures} grants were not renewed");
    }
    written?;
    output.finish()
}

fn stopped(signal: Signal) -> anyhow::Error {
    anyhow!("{} came: grants that are not named were not renewed", signal.name())
}

/// Renews the grants one after the other, and says how many were not. A signal lets no other begin.
async fn renew_each(
    administration: &Administration,
    sessions: &[ListedSession],
    signals: &mut Signals,
    output: &mut ActionOutput,
) -> anyhow::Result<usize> {
    let grants: BTreeMap<_, _> = sessions.iter().map(|listed| (listed.grant.id.0, listed)).collect();
    let mut failures = 0;
    for listed in grants.values() {
        let actor = Actor::command_line();
        let mut renewal = pin!(administration.renew(&actor, listed.grant.id));
        let (renewed, signal) = match signals.unless_one_comes(&mut renewal).await {
            Ok(renewed) => (renewed, None),
            Err(signal) => {
                print_error(&format!("{} came: the renewal under way is waited for, and none begins", signal.name()));
                (renewal.await, Some(signal))
            }
        };
        let renewed = renewed.context("the grant could not be read")?;
        let said = match renewed {
            Some(RefreshedNow::Renewed) => "renewed".to_owned(),
            Some(RefreshedNow::Unavailable(wait)) => format!("the provider cannot be asked for {} s", wait.as_secs().max(1)),
            Some(other) => words::not_renewed(other.name(), Language::English),
            None => "gone".to_owned(),
        };
        failures += usize::from(renewed != Some(RefreshedNow::Renewed));
        output.print(&format!("grant {} of {}: {said}\n", listed.grant.id, printable(listed.grant.identity.display())));
        if let Some(signal) = signal {
            return Err(stopped(signal));
        }
    }
    Ok(failures)
}
