//! `evergate keys`.

use std::collections::BTreeMap;

use anyhow::bail;
use clap::{ArgMatches, Command};

use super::{
    existing_store::require_store,
    output::{print_error, print_out},
    recorded::recorded,
    runtime::block_on,
};
use crate::{
    administration::Action,
    app,
    config::{Environment, Problems},
    seal::KeyRing,
    store::{KeyUsage, Resealed, Store, StoreError},
    telemetry::metrics::Metrics,
};

/// Grants per batch.
const BATCH: i64 = 100;
/// Passes are repeated while grants change meanwhile, up to this number.
const MAX_PASSES: usize = 5;

pub(super) fn command() -> Command {
    Command::new("keys")
        .about("Keys that seal tokens")
        .subcommand_required(true)
        .subcommand(Command::new("generate").about("Print a new key"))
        .subcommand(Command::new("status").about("How many grants and pending revocations are sealed under which key"))
        .subcommand(Command::new("reseal").about("Seal all tokens under the first key; gateways may run meanwhile"))
}

pub(super) fn run(environment: &Environment, verb: &ArgMatches) -> anyhow::Result<()> {
    match verb.subcommand_name() {
        Some("status") => block_on(async { status(&open(environment)?).await }),
        Some("reseal") => block_on(async { reseal(&open(environment)?).await }),
        Some(_) | None => print_out(&format!("{}\n", KeyRing::generate())),
    }
}

fn open(environment: &Environment) -> anyhow::Result<Store> {
    let mut problems = Problems::default();
    let raw = environment.read(&mut problems);
    let (store, keys) = raw.store(problems)?;
    require_store(&store)?;
    Ok(Store::open(&store, app::keys(keys)?, Metrics::default())?)
}

async fn status(store: &Store) -> anyhow::Result<()> {
    let sealing = store.sealing_key();
    let nothing = |key, is_known| KeyUsage { key, grants: 0, revocations: 0, is_known };
    let mut all = BTreeMap::from([(sealing, nothing(sealing, true))]);
    let mut count = |some: Vec<KeyUsage>| {
        for under in some {
            let counted = all.entry(under.key).or_insert(nothing(under.key, under.is_known));
            counted.grants += under.grants;
            counted.revocations += under.revocations;
        }
    };
    let mut after = None;
    loop {
        let (some, last) = store.key_usage(after, BATCH).await?;
        count(some);
        let Some(last) = last else { break };
        after = Some(last);
    }
    count(store.key_usage_of_revocations().await?);
    for under in all.values() {
        let role = match (under.key == sealing, under.is_known) {
            (true, _) => "seals",
            (false, true) => "opens; `evergate keys reseal` makes it unnecessary",
            (false, false) => "is missing: these users sign in again",
        };
        print_out(&format!("{}  {role}: {} grants, {} pending revocations\n", under.key, under.grants, under.revocations))?;
    }
    Ok(())
}

/// Encrypts everything with the newest key, which is recorded as what administrators do is.
async fn reseal(store: &Store) -> anyhow::Result<()> {
    let lacking = store.others_that_lack(store.sealing_key()).await?;
    if lacking > 0 {
        print_error(&format!(
            "evergate: warning: {lacking} gateways that run lack the key {}, and cannot refresh what is sealed with it; \
             give it to them, behind their own, and start them again",
            store.sealing_key()
        ));
    }
    let Resealed { done, unreadable, .. } = recorded(store, Action::Reseal, reseal_all(store)).await?;
    print_out(&format!("sealed anew: {done}; cannot be opened: {unreadable}\n"))?;
    status(store).await
}

/// Encrypts everything anew.
///
/// # Errors
/// The store failed, or grants changed in every pass, so that some may be sealed under an old key still, which must not be taken away.
async fn reseal_all(store: &Store) -> anyhow::Result<Resealed> {
    let revocations = store.reseal_revocations().await?;
    let mut done = revocations.done;
    for _ in 0..MAX_PASSES {
        let pass = run_pass(store).await?;
        done += pass.done;
        if pass.changed == 0 {
            return Ok(Resealed { done, unreadable: pass.unreadable + revocations.unreadable, ..pass });
        }
    }
    bail!("sealed anew: {done}; some grants are renewed too often, so begin again before an old key is taken away")
}

/// Re-encrypts every grant once.
async fn run_pass(store: &Store) -> Result<Resealed, StoreError> {
    let mut all = Resealed::default();
    loop {
        let some = store.reseal(all.last, BATCH).await?;
        all.done += some.done;
        all.unreadable += some.unreadable;
        all.changed += some.changed;
        if some.last.is_none() {
            return Ok(all);
        }
        all.last = some.last;
    }
}
