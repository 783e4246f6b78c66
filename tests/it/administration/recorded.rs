//! What the command line does is recorded as it is done, whatever becomes of the command.

use std::{
    io::{BufRead, BufReader, Lines},
    process::{Child, ChildStderr, ChildStdout, ExitStatus, Stdio},
    time::Duration,
};

use evergate::seal::KeyRing;
use rustix::process::{Pid, Signal, kill_process};

use super::{administered, audit, both, browser};
use crate::harness::{
    Kind, World,
    eventually::eventually,
    idp::{Endpoint, Misbehaviour, user},
    postgres,
};

const BY: &str = "the command line";
/// A signal that a terminal sends, one that a service manager sends, and one that comes with a closed terminal.
const SIGNALS: [Signal; 3] = [Signal::INT, Signal::TERM, Signal::HUP];

/// A command under way.
struct Started {
    child: Child,
    printed: Lines<BufReader<ChildStdout>>,
    told: Lines<BufReader<ChildStderr>>,
}

impl Started {
    fn of(world: &World, arguments: &[&str]) -> Self {
        let mut child = world.binary().args(arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let printed = BufReader::new(child.stdout.take().unwrap()).lines();
        let told = BufReader::new(child.stderr.take().unwrap()).lines();
        Self { child, printed, told }
    }

    fn send(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// The next line that it prints, or tells of what is wrong.
    async fn line(mut self, is_told: bool) -> (Self, String) {
        let reading = tokio::task::spawn_blocking(move || {
            let line = if is_told { self.told.next() } else { self.printed.next() };
            (self, line)
        });
        let (this, line) = tokio::time::timeout(Duration::from_secs(60), reading).await.unwrap().unwrap();
        (this, line.map(Result::unwrap).unwrap_or_default())
    }

    /// How it ends, and what else it says.
    async fn end(mut self) -> (ExitStatus, String) {
        let ending = tokio::task::spawn_blocking(move || {
            let said: Vec<_> = self.printed.chain(self.told).map(Result::unwrap).collect();
            (self.child.wait().unwrap(), said.join("\n"))
        });
        tokio::time::timeout(Duration::from_secs(60), ending).await.unwrap().unwrap()
    }
}

#[tokio::test]
async fn a_signal_to_a_renewal_lets_no_other_begin_and_loses_no_token() {
    for signal in SIGNALS {
        let world = administered().on(Kind::Postgres).start().await;
        let (one, other) = (browser(&world, user("bob")).await, browser(&world, user("bob")).await);
        world.idp.misbehave(Endpoint::Refresh, Misbehaviour::HeldAnswer);
        let renewing = Started::of(&world, &["sessions", "renew", "bob"]);
        eventually("the provider has the refresh token", async || world.idp.calls(Endpoint::Refresh) == 1).await;
        renewing.send(signal);
        let (renewing, told) = renewing.line(true).await;
        assert!(told.contains("the renewal under way is waited for"), "{signal:?} {told}");
        // Nor does one of them cut it off that comes while it waits.
        renewing.send(signal);
        world.idp.behave(Endpoint::Refresh);
        let (status, said) = renewing.end().await;
        assert!(status.code() == Some(69) && said.contains(": renewed") && said.contains("came"), "{signal:?} {status} {said}");
        assert_eq!(world.idp.calls(Endpoint::Refresh), 1, "{signal:?}");
        assert!(audit(&world).await.contains(&["renew", "renewed", BY].map(str::to_owned)), "{signal:?}");
        world.clock.advance(Duration::from_secs(301));
        for browser in [one, other] {
            assert!(browser.get("/").await.is_upstreams(), "its refresh token is known");
        }
    }
}

#[tokio::test]
async fn a_renewal_that_takes_long_is_saved_also_if_the_next_grant_cannot_be_read() {
    let world = administered().on(Kind::Postgres).start().await;
    browser(&world, user("bob")).await;
    browser(&world, user("bob")).await;
    world.idp.misbehave(Endpoint::Refresh, Misbehaviour::HeldAnswer);
    let renewing = Started::of(&world, &["sessions", "renew", "bob"]);
    eventually("the provider has the refresh token", async || world.idp.calls(Endpoint::Refresh) == 1).await;
    let url = world.database_url();
    postgres::run(&url, "UPDATE grants SET identity = '{' WHERE attempt IS NULL").await;
    let (renewing, printed) = renewing.line(false).await;
    assert!(printed.contains("grant "), "it waits for it no longer: {printed}");
    world.idp.behave(Endpoint::Refresh);
    let (status, said) = renewing.end().await;
    assert!(status.code() == Some(69) && said.contains("it has ended"), "{status} {said}");
    assert_eq!(postgres::read::<i64>(&url, "SELECT COUNT(*) FROM grants WHERE generation = 1").await, 1);
    assert_eq!(postgres::read::<i64>(&url, "SELECT COUNT(*) FROM events WHERE kind = 'renewal' AND outcome = 'ok'").await, 1);
}

#[tokio::test]
async fn a_signal_stops_the_end_of_sessions_also_while_it_revokes_at_the_provider() {
    for signal in SIGNALS {
        let mut world = administered().start().await;
        browser(&world, user("bob")).await;
        // No gateway takes the revocation over.
        for gateway in world.replicas.drain(..) {
            assert!(gateway.stop().await);
        }
        world.idp.misbehave(Endpoint::Revocation, Misbehaviour::Held);
        let ending = Started::of(&world, &["sessions", "revoke", "bob"]);
        eventually("the provider is asked", async || world.idp.calls(Endpoint::Revocation) > 0).await;
        ending.send(signal);
        let (status, said) = ending.end().await;
        assert!(status.code() == Some(69) && said.contains("by the next gateway that runs"), "{signal:?} {status} {said}");
        world.idp.behave(Endpoint::Revocation);
        assert!(audit(&world).await.contains(&["end_session", "ok", BY].map(str::to_owned)), "{signal:?}");
    }
}

#[tokio::test]
async fn what_is_done_to_all_tokens_and_cannot_be_recorded_is_no_success() {
    for kind in both() {
        let world = World::build().on(kind).start().await;
        // As the releases before have it.
        world.sql("ALTER TABLE events DROP COLUMN actor_subject").await;
        for command in [&["sessions", "restored", "--while-serving"][..], &["keys", "reseal"]] {
            let (code, said) = world.command(command).await;
            assert!(code == 69 && said.contains("`evergate migrate` comes first"), "{command:?} {said}");
        }
    }
}

#[tokio::test]
async fn tokens_that_are_not_all_sealed_anew_are_no_success() {
    let first = KeyRing::generate();
    let mut world = administered().on(Kind::Postgres).set("external_token_encryption_keys", &first).start().await;
    browser(&world, user("bob")).await;
    world.change(&[("external_token_encryption_keys", &format!("{},{first}", KeyRing::generate()))]);
    // Each pass finds the grant changed.
    let url = world.database_url();
    postgres::run(&url, "CREATE FUNCTION changed() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'").await;
    postgres::run(&url, "CREATE TRIGGER changed BEFORE UPDATE ON grants FOR EACH ROW EXECUTE FUNCTION changed()").await;
    let (code, said) = world.command(&["keys", "reseal"]).await;
    assert!(code == 69 && said.contains("begin again"), "{said}");
    postgres::run(&url, "DROP TRIGGER changed ON grants").await;
    assert!(audit(&world).await.contains(&["reseal", "failed", BY].map(str::to_owned)));
    let (code, said) = world.command(&["keys", "reseal"]).await;
    assert!(code == 0 && said.contains("sealed anew: 1;"), "{said}");
}

#[tokio::test]
async fn an_end_of_everyone_that_is_stopped_halfway_has_its_history() {
    let world = World::build().on(Kind::Postgres).start().await;
    let early = browser(&world, user("eve")).await;
    world.clock.advance(Duration::from_secs(1));
    browser(&world, user("bob")).await;
    assert!(early.fetch("/").await.is_upstreams());
    // The last login is ended first; the next one cannot be.
    let (url, hers) = (world.database_url(), "grant_id IN (SELECT id FROM grants WHERE subject = 'sub-eve')");
    let lock = postgres::held(&url, &format!("BEGIN; SELECT hash FROM sessions WHERE {hers} FOR UPDATE")).await;
    let mut command = world.binary();
    let mut child = command.args(["sessions", "revoke", "--all"]).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let line = tokio::task::spawn_blocking(move || lines.next()).await.unwrap().unwrap().unwrap();
    assert!(line.contains("of bob@example.com"), "{line}");
    // While the command runs, and not when it ends.
    eventually("it is recorded", async || {
        let begun = ["end_everyone", "begun", BY].map(str::to_owned);
        let (_, why) = world.command(&["sessions", "why", "bob"]).await;
        audit(&world).await.contains(&begun) && why.contains("an administrator ended the session")
    })
    .await;
    kill_process(Pid::from_child(&child), Signal::TERM).unwrap();
    eventually("it waits for what is under way alone", async || {
        postgres::waiting(&url, "SELECT hash FROM sessions WHERE hash = $1 OR login%").await > 0
    })
    .await;
    drop(lock);
    let status = tokio::task::spawn_blocking(move || child.wait()).await.unwrap().unwrap();
    assert!(status.code().is_some_and(|code| code != 0), "it tells that it was stopped: {status}");
    let (_, why) = world.command(&["sessions", "why", "eve"]).await;
    assert!(why.contains("an administrator ended the session"), "what was under way is recorded, too: {why}");
}

#[tokio::test]
async fn what_is_done_to_all_tokens_is_audited() {
    for kind in both() {
        let world = administered().on(kind).start().await;
        browser(&world, user("bob")).await;
        for (command, action) in [(&["sessions", "restored", "--while-serving"][..], "restored"), (&["keys", "reseal"], "reseal")]
        {
            let (code, said) = world.command(command).await;
            assert_eq!(code, 0, "{said}");
            assert!(audit(&world).await.contains(&[action, "ok", BY].map(str::to_owned)), "{action}");
        }
        let (_, told) = world.command(&["sessions", "audit"]).await;
        assert!(told.contains("had all tokens encrypted with the newest key"), "{told}");
    }
}

#[tokio::test]
async fn a_renewal_by_the_command_line_counts_in_the_figures_of_its_provider() {
    let world = administered().start().await;
    browser(&world, user("bob")).await;
    let (code, said) = world.command(&["sessions", "renew", "bob"]).await;
    assert_eq!(code, 0, "{said}");
    let program = super::Program::of(&super::administrator(&world).await).await;
    let providers = program.get("/providers").await;
    let hours = providers["providers"][0]["hours"].as_array().unwrap();
    assert_eq!(hours.iter().map(|hour| hour["outcomes"]["ok"].as_i64().unwrap()).sum::<i64>(), 1, "{providers}");
}
