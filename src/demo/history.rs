//! Two weeks of made history for the administration's pages: people who log in and out, renewals that succeed and fail, an outage.

use std::time::Duration;

use anyhow::Context;

use super::provider::{CLIENT_ID, MadePerson};
use crate::{
    administration::Administration,
    client_registration::ClientRegistration,
    clock::Timestamp,
    grant::{AttemptId, Fingerprint, GrantId, Rotation},
    history::{Event, Kind},
    identity::Identity,
    secret::{Secret, random_text},
    session::{Opener, Session, SessionHash},
    store::{LoginTarget, NewGrant, NewIntent, Renewed, Sharing, Tokens},
};

const HOUR: i64 = 3_600_000;
const DAY: i64 = 24 * HOUR;
const NAMES: [(&str, &str); 24] = [
    ("amara", "Amara Okafor"),
    ("ben", "Ben Whitfield"),
    ("chiara", "Chiara Moretti"),
    ("dmitri", "Dmitri Volkov"),
    ("elif", "Elif Yıldız"),
    ("farah", "Farah Haddad"),
    ("gustav", "Gustav Holm"),
    ("hana", "Hana Suzuki"),
    ("ines", "Inês Carvalho"),
    ("jakub", "Jakub Nowak"),
    ("kiran", "Kiran Desai"),
    ("lena", "Lena Brandt"),
    ("mateo", "Mateo Vargas"),
    ("nadia", "Nadia Benali"),
    ("oskar", "Oskar Lund"),
    ("priya", "Priya Raman"),
    ("quentin", "Quentin Marchand"),
    ("rosa", "Rosa Jiménez"),
    ("sven", "Sven Kallas"),
    ("thandi", "Thandi Mokoena"),
    ("ulla", "Ulla Virtanen"),
    ("viktor", "Viktor Horváth"),
    ("wei", "Wei Zhang"),
    ("yara", "Yara Costa"),
];
const AGENTS: [&str; 4] = [
    "Mozilla/5.0 (X11; Linux x86_64; rv:133.0) Gecko/20100101 Firefox/133.0",
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 Chrome/131.0.0.0 Safari/537.36 Edg/131.0.0.0",
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_1 like Mac OS X) AppleWebKit/605.1.15 Version/18.1 Mobile/15E148 Safari/604.1",
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 Version/18.1 Safari/605.1.15",
];
/// How long the made access tokens live.
const LIFETIME: Duration = Duration::from_secs(3600);

/// Numbers that look random and are the same each time.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, most: i64) -> i64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        i64::try_from((self.0 >> 33) % u64::try_from(most.max(1)).unwrap_or(1)).unwrap_or(0)
    }
}

/// Fills the store with history up to `now`, and returns the refresh tokens that the provider is to know.
///
/// # Errors
/// The store failed.
pub(super) async fn fill(
    administration: &Administration,
    issuer: &str,
    fingerprint: &Fingerprint,
    now: Timestamp,
) -> anyhow::Result<Vec<MadePerson>> {
    let (mut numbers, mut made) = (Numbers(7), Vec::new());
    calls(administration, issuer, now, &mut numbers);
    for (place, (id, name)) in (0..).zip(NAMES) {
        let identity = Identity {
            subject: id.to_owned(),
            username: Some(id.to_owned()),
            name: Some(name.to_owned()),
            email: Some(format!("{id}@example.com")),
            groups: vec![if place % 3 == 0 { "engineering" } else { "design" }.to_owned()],
            ..Identity::default()
        };
        past(administration, issuer, &identity, place, now, &mut numbers);
        // A few are away, and others have not logged in since the settings changed.
        if place % 8 != 7 {
            let fingerprint =
                if place % 5 == 4 { Fingerprint::of("before offline_access was asked for") } else { fingerprint.clone() };
            let token = present(administration, issuer, &fingerprint, &identity, place, now, &mut numbers).await?;
            made.extend(token.map(|refresh_token| MadePerson { identity, refresh_token }));
        }
        administration.store.flush_events().await;
    }
    administration.store.flush_provider_hours().await;
    Ok(made)
}

/// Token refreshes of two weeks: more of them by day, an outage on the fifth day, and a client secret that was wrong for an hour.
fn calls(administration: &Administration, issuer: &str, now: Timestamp, numbers: &mut Numbers) {
    for hour in 1..14 * 24 {
        let at = Timestamp(now.0 - hour * HOUR);
        let (day, of_day) = (at.0.div_euclid(DAY) % 7, at.0.div_euclid(HOUR) % 24);
        let is_at_work = (7..18).contains(&of_day) && !matches!(day, 2 | 3);
        let count = if is_at_work { 30 + numbers.below(25) } else { 2 + numbers.below(6) };
        for _ in 0..count {
            let is_out = (110..114).contains(&hour);
            let (outcome, took) = match numbers.below(400) {
                _ if (241..242).contains(&hour) => ("config", 40),
                0..300 if is_out => ("retry", 6_000 + numbers.below(4_000)),
                300..380 if is_out => ("ambiguous", 10_000 + numbers.below(4_000)),
                0..3 => ("dead", 60),
                3..5 => ("retry", 900),
                _ => ("ok", 40 + numbers.below(120) + if numbers.below(20) == 0 { 700 } else { 0 }),
            };
            let took = Duration::from_millis(u64::try_from(took).unwrap_or(0));
            administration.store.count_refresh(ClientRegistration { issuer, client_id: CLIENT_ID }, outcome, took, at);
        }
    }
}

/// Sessions that have ended, each for a reason of its own.
fn past(administration: &Administration, issuer: &str, identity: &Identity, place: i64, now: Timestamp, numbers: &mut Numbers) {
    let grant = GrantId::random();
    let begun = Timestamp(now.0 - 13 * DAY + numbers.below(4 * DAY));
    let session = SessionHash::fresh().1;
    let event = |kind, at: i64| Event::of(kind, grant, issuer, identity, Timestamp(at)).of_session(session);
    let push = |event| administration.store.enqueue_event(event);
    push(event(Kind::Login, begun.0).because("renewable"));
    let count = 4 + numbers.below(8);
    for number in 1..=count {
        let renewal = Event { session: None, ..event(Kind::Renewal, begun.0 + number * HOUR) }.because("rotated");
        let took = Duration::from_millis(u64::try_from(40 + numbers.below(160)).unwrap_or(0));
        push(Event { rotated: Some(true), duration: Some(took), ..renewal });
    }
    let end = begun.0 + (count + 2) * HOUR;
    match place % 6 {
        0 => push(event(Kind::Logout, end).because("user")),
        1 => push(event(Kind::Limit, end + 24 * HOUR).because("idle")),
        2 => {
            let dead = Event { session: None, outcome: "dead".into(), ..event(Kind::Renewal, end) }.because("invalid_grant");
            push(Event { code: Some("invalid_grant".into()), detail: Some("Token is not active".into()), ..dead });
        }
        3 => push(event(Kind::Logout, end).because("provider")),
        4 => {
            let acted = event(Kind::Administration, end).because("end_session");
            push(Event {
                detail: Some("maya@example.com".into()),
                actor_issuer: Some(issuer.to_owned()),
                actor_subject: Some("maya".into()),
                ..acted
            });
            push(event(Kind::Logout, end).because("administrator"));
        }
        _ => {
            let unknown = Event { session: None, outcome: "ambiguous".into(), ..event(Kind::Renewal, end) };
            push(unknown.because("outcome_unknown"));
        }
    }
}

/// A session that is alive, with its renewals. Returns its refresh token, if it has one.
async fn present(
    administration: &Administration,
    issuer: &str,
    fingerprint: &Fingerprint,
    identity: &Identity,
    place: i64,
    now: Timestamp,
    numbers: &mut Numbers,
) -> anyhow::Result<Option<Secret>> {
    let store = &administration.store;
    let (id, has_token) = (GrantId::random(), place % 7 != 6);
    let count = if has_token { 3 + numbers.below(12) } else { 0 };
    let begun = Timestamp(now.0 - count * HOUR - numbers.below(50 * 60_000));
    let tokens = |at: Timestamp| {
        let refresh = has_token.then(|| Secret::new(random_text::<24>()));
        let access = Secret::new(random_text::<24>());
        Tokens { access, refresh, id: None, expires_at: at.plus(LIFETIME), lifetime: LIFETIME, refresh_life: None }
    };
    let agent = AGENTS.get(usize::try_from(place).unwrap_or(0) % AGENTS.len()).copied();
    let address = std::net::Ipv4Addr::new(198, 51, 100, u8::try_from(10 + place).unwrap_or(1));
    let grant = NewGrant {
        id,
        issuer: issuer.to_owned(),
        client_id: CLIENT_ID.to_owned(),
        former_clients: Vec::new(),
        identity: identity.clone(),
        scopes: if has_token { "openid profile email offline_access" } else { "openid profile email" }.to_owned(),
        fingerprint: fingerprint.clone(),
        provider_session: None,
        tokens: tokens(begun),
        opener: Opener::of(agent, Some(address.into())),
    };
    let mut refresh = grant.tokens.refresh.clone();
    let session = Session {
        hash: SessionHash::fresh().1,
        grant: id,
        created_at: begun,
        last_seen: Timestamp(now.0 - numbers.below(20 * 60_000)).max(begun),
        provider_session: None,
        site: Some("localhost".into()),
        token: None,
        login: None,
    };
    let hash = session.hash;
    let saved = store.save_login(&grant, &LoginTarget::New { session, replaces: None }, Sharing::Own, begun).await?;
    saved.context("a made login was not saved")?;
    let because = if has_token { "renewable" } else { "not_renewable" };
    store.enqueue_event(Event::of(Kind::Login, id, issuer, identity, begun).of_session(hash).because(because));
    for number in 0..count {
        let at = Timestamp(begun.0 + (number + 1) * HOUR - 60_000);
        let attempt = AttemptId::random();
        let event = Event::of(Kind::Renewal, id, issuer, identity, at);
        let took = Some(Duration::from_millis(u64::try_from(40 + numbers.below(160)).unwrap_or(0)));
        if number == 2 && place % 4 == 1 {
            let failed =
                Event { outcome: "retry".into(), code: Some("temporarily_unavailable".into()), ..event }.because("http_503");
            store.enqueue_event(Event { duration: took, ..failed });
            continue;
        }
        let before = store.grant(id).await?.context("a made grant is gone")?;
        let first = NewIntent::first(attempt, before.generation, Duration::from_secs(30));
        store.begin_renewal(id, first).await?.context("a made grant cannot be renewed")?;
        let renewed = Renewed { tokens: tokens(at), scopes: None, rotation: Rotation::Rotating, at, unverified: None };
        refresh.clone_from(&renewed.tokens.refresh);
        store.save_renewal(id, attempt, before.generation, &renewed).await?;
        store.enqueue_event(Event { rotated: Some(true), duration: took, ..event.because("rotated") });
    }
    Ok(refresh)
}
