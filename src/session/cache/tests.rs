use std::{convert::Infallible, future::ready};

use super::*;
use crate::secret::Secret;

const NOW: Timestamp = Timestamp(1_000_000);
const HASH: SessionHash = SessionHash([1; 32]);
const OTHER: SessionHash = SessionHash([3; 32]);

fn session() -> Session {
    Session {
        hash: HASH,
        grant: GrantId([2; 16]),
        created_at: NOW,
        last_seen: NOW,
        provider_session: None,
        site: None,
        token: None,
        login: None,
    }
}

async fn is_cached(cache: &SessionCache, now: Timestamp) -> bool {
    cache.session(HASH, now, || ready(Ok::<_, Infallible>(None))).await.unwrap().is_some()
}

#[tokio::test]
async fn a_load_that_overlaps_a_change_is_not_kept() {
    let cache = SessionCache::default();
    cache.set_listener_connected(true, NOW);
    let load = || async {
        cache.forget_session(HASH);
        Ok::<_, Infallible>(Some(Reading::Current(session())))
    };
    assert!(cache.session(HASH, NOW, load).await.unwrap().is_some());
    assert!(!is_cached(&cache, NOW).await);
}

#[tokio::test]
async fn a_load_that_overlaps_the_change_of_another_record_is_kept() {
    let cache = SessionCache::default();
    cache.set_listener_connected(true, NOW);
    let load = || async {
        cache.forget_session(OTHER);
        cache.forget_grant(GrantId([2; 16]));
        Ok::<_, Infallible>(Some(Reading::Current(session())))
    };
    let version = cache.session_version(HASH);
    assert!(cache.session(HASH, NOW, load).await.unwrap().is_some());
    assert!(is_cached(&cache, NOW).await && cache.is_current(&version));
    cache.forget_session(HASH);
    assert!(!is_cached(&cache, NOW).await && !cache.is_current(&version));
    let version = cache.session_version(HASH);
    cache.forget_everything();
    assert!(!cache.is_current(&version));
    let version = cache.session_version(HASH);
    cache.set_listener_connected(false, NOW);
    assert!(
        !cache.is_current(&version) && !cache.is_current(&cache.session_version(HASH)),
        "what is not heard of is not trusted"
    );
}

#[tokio::test]
async fn what_was_seen_of_a_session_outlives_its_entry_until_it_is_written() {
    let cache = SessionCache::default();
    let hour = Duration::from_secs(3600);
    let settings = crate::session::Settings { idle: hour, absolute: 10 * hour, sliding: true, longest_token: 10 * hour };
    let load = || ready(Ok::<_, Infallible>(Some(Reading::Current(session()))));
    let cached = cache.session(HASH, NOW, load).await.unwrap().unwrap();
    cache.touch(&cached, &settings, NOW.plus(hour / 2));
    cache.forget_everything();
    let cached = cache.session(HASH, NOW, load).await.unwrap().unwrap();
    assert_eq!(cached.last_seen(), NOW.plus(hour / 2));
}

#[tokio::test]
async fn what_apps_got_of_an_access_token_outlives_its_entry_and_not_the_token() {
    let cache = SessionCache::default();
    let is_news = async |token: &str| {
        let grant = Grant { access_token: Secret::new(token), ..Grant::sample() };
        let load = || ready(Ok::<_, Infallible>(Some(Reading::Current(grant.clone()))));
        cache.grant(grant.id, NOW, load).await.unwrap().unwrap().exchanged.is_first_for("an app")
    };
    assert!(is_news("first").await);
    cache.forget_everything();
    assert!(!is_news("first").await, "another process has written something");
    cache.forget_everything();
    assert!(is_news("second").await);
}

#[tokio::test]
async fn no_more_is_kept_than_the_settings_say() {
    let cache = SessionCache::new(&Settings { entries: 10, ..Settings::default() }, Metrics::default());
    cache.set_listener_connected(true, NOW);
    for number in 0..1000_u64 {
        let mut hash = [0; 32];
        hash[..8].copy_from_slice(&number.to_le_bytes());
        let session = Session { hash: SessionHash(hash), ..session() };
        cache.session(session.hash, NOW, || ready(Ok::<_, Infallible>(Some(Reading::Current(session.clone()))))).await.unwrap();
    }
    assert!((1..=10).contains(&cache.sizes().0), "{}", cache.sizes().0);
}

#[tokio::test]
async fn entries_live_only_briefly_while_the_listener_is_not_connected() {
    let cache = SessionCache::default();
    let load = || ready(Ok::<_, Infallible>(Some(Reading::Current(session()))));
    cache.session(HASH, NOW, load).await.unwrap();
    assert!(is_cached(&cache, NOW).await);
    assert!(!is_cached(&cache, NOW.plus(DISCONNECTED_TTL)).await);
    cache.set_listener_connected(true, NOW);
    assert!(!is_cached(&cache, NOW).await, "what was loaded while disconnected is dropped");
    cache.session(HASH, NOW, load).await.unwrap();
    assert!(is_cached(&cache, NOW.plus(Duration::from_secs(3600))).await);
}

const GRACE: Duration = Duration::from_secs(60);

/// A cache that has a session and its grant in memory, loaded while announcements arrived or did not.
async fn with_grace(hears: bool) -> SessionCache {
    let cache = SessionCache::new(&Settings { outage_grace: GRACE, ..Settings::default() }, Metrics::default());
    cache.set_listener_connected(hears, NOW);
    cache.session(HASH, NOW, || ready(Ok::<_, Infallible>(Some(Reading::Current(session()))))).await.unwrap();
    let grant = Grant { id: GrantId([2; 16]), ..Grant::sample() };
    cache.grant(grant.id, NOW, || ready(Ok::<_, Infallible>(Some(Reading::Current(grant.clone()))))).await.unwrap();
    cache
}

#[tokio::test]
async fn a_session_is_remembered_for_the_grace_after_it_was_last_known_to_be_true() {
    let is_remembered = |cache: &SessionCache, after: Duration| cache.remembered(HASH, NOW.plus(after)).is_some();
    let (hour, second) = (Duration::from_secs(3600), Duration::from_secs(1));
    let cache = with_grace(true).await;
    assert!(is_remembered(&cache, hour), "announcements arrive, and there was none");
    cache.set_listener_connected(false, NOW.plus(hour));
    assert!(is_remembered(&cache, hour + GRACE - second) && !is_remembered(&cache, hour + GRACE));
    for (hears, at) in [(true, hour + second), (false, hour + 2 * second), (true, hour + 3 * second)] {
        cache.set_listener_connected(hears, NOW.plus(at));
        assert!(!is_cached(&cache, NOW.plus(at)).await, "the store is to be asked");
        assert!(is_remembered(&cache, hour + GRACE - second) && !is_remembered(&cache, hour + GRACE), "nothing began anew");
    }
    let deaf = with_grace(false).await;
    assert!(is_remembered(&deaf, GRACE - second) && !is_remembered(&deaf, GRACE), "counted from when it was loaded");
    deaf.set_listener_connected(true, NOW.plus(second));
    assert!(is_remembered(&deaf, GRACE - second) && !is_remembered(&deaf, GRACE));
    assert!(deaf.remembered(HASH, NOW.minus(GRACE)).is_none(), "a clock that is set back prolongs nothing");
    let without = SessionCache::default();
    without.session(HASH, NOW, || ready(Ok::<_, Infallible>(Some(Reading::Current(session()))))).await.unwrap();
    assert!(!is_remembered(&without, Duration::ZERO) && without.knows(&HASH));
}

#[tokio::test]
async fn what_was_announced_to_have_ended_is_never_remembered() {
    let cache = with_grace(true).await;
    cache.forget_session(HASH);
    assert!(cache.remembered(HASH, NOW).is_none());
    let cache = with_grace(true).await;
    assert!(cache.forget_grant(GrantId([2; 16])) && !cache.forget_grant(GrantId([2; 16])));
    assert!(cache.remembered(HASH, NOW).is_none());
    let cache = with_grace(true).await;
    cache.forget_everything();
    assert!(cache.remembered(HASH, NOW).is_none(), "its end may have been among what was not heard");
    let cache = with_grace(true).await;
    cache.unrecorded().add(HASH, crate::session::unrecorded::Extent::Session).unwrap();
    assert!(cache.remembered(HASH, NOW).is_none());
}

#[tokio::test]
async fn a_load_that_was_under_way_when_announcements_came_or_went_is_remembered_and_not_used() {
    let later = NOW.plus(GRACE / 2);
    for hears in [true, false] {
        let cache = with_grace(!hears).await;
        cache.set_listener_connected(false, NOW);
        cache.set_listener_connected(!hears, NOW);
        let load = || async {
            cache.set_listener_connected(hears, later);
            Ok::<_, Infallible>(Some(Reading::Current(session())))
        };
        assert!(cache.session(HASH, later, load).await.unwrap().is_some());
        assert!(!is_cached(&cache, later).await);
        let grant = Grant { id: GrantId([2; 16]), ..Grant::sample() };
        cache.grant(grant.id, later, || ready(Ok::<_, Infallible>(Some(Reading::Current(grant.clone()))))).await.unwrap();
        cache.set_listener_connected(false, later);
        assert!(cache.remembered(HASH, NOW.plus(GRACE)).is_some(), "it was true at {later:?}");
    }
}

#[tokio::test]
async fn a_load_that_was_under_way_when_its_end_when_its_end_was_announced_is_not_remembered() {
    let cache = with_grace(true).await;
    cache.set_listener_connected(false, NOW);
    let load = || async {
        cache.forget_session(HASH);
        Ok::<_, Infallible>(Some(Reading::Current(session())))
    };
    let later = NOW.plus(DISCONNECTED_TTL);
    assert!(cache.session(HASH, later, load).await.unwrap().is_some());
    assert!(cache.remembered(HASH, later).is_none());
}

#[tokio::test]
async fn a_copy_of_the_store_that_lags_replaces_nothing_that_is_known() {
    let cache = SessionCache::new(&Settings { outage_grace: Duration::from_secs(60), ..Settings::default() }, Metrics::default());
    let grant = |generation| Grant { generation, ..Grant::sample() };
    let id = grant(0).id;
    let load = async |cache: &SessionCache, now, loaded: Reading<Grant>| {
        let load = || ready(Ok::<_, Infallible>(Some(loaded)));
        cache.grant(id, now, load).await.unwrap().unwrap().generation
    };
    cache.set_listener_connected(true, NOW);
    assert_eq!(load(&cache, NOW, Reading::Current(grant(2))).await, 2);
    cache.set_listener_connected(false, NOW);
    let later = Timestamp(NOW.0 + 10_000);
    assert_eq!(load(&cache, later, Reading::PerhapsOld(grant(1))).await, 2, "within the grace");
    assert_eq!(load(&cache, Timestamp(later.0 + 60_001), Reading::PerhapsOld(grant(1))).await, 1, "it is better than nothing");
    assert_eq!(load(&cache, Timestamp(later.0 + 62_000), Reading::Current(grant(0))).await, 0, "what is current counts");
}

#[tokio::test]
async fn what_may_be_old_is_loaded_again_although_announcements_arrive() {
    let cache = SessionCache::default();
    cache.set_listener_connected(true, NOW);
    let version = cache.session_version(HASH);
    let load = || ready(Ok::<_, Infallible>(Some(Reading::PerhapsOld(session()))));
    assert!(cache.session(HASH, NOW, load).await.unwrap().is_some());
    assert!(!is_cached(&cache, NOW).await && !cache.is_current(&version));
}
