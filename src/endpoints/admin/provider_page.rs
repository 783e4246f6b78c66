//! How providers have answered over time, how far silent re-authentication is after a change of settings, and which certificates and
//! keys there are.

use axum::body::Body;
use http::Response;
use serde_json::{Value, json};

use super::{PageCall, Place};
use crate::{
    administration::{
        provider_health::{Bin, Latency, OUTCOMES, bins, total},
        words,
    },
    clock::Timestamp,
    endpoints::{Endpoints, Refused, account::page_number, administrators::Administrators},
    oidc::{Provider, PublishedKey},
    pages::{AdminText, Chart, ChartKind, Line, Look, Part, Series, Text},
    refusal::Refusal,
    store::{GrantSample, StoreError},
    tls::{CertificateFile, CertificateUse, end_of_certificate},
};

const HOUR: i64 = 3_600_000;
/// How far back a page looks, in hours, and how many hours are one bin.
const SPANS: [(&str, i64, i64); 2] = [("2", 48, 1), ("14", 14 * 24, 6)];
/// The sign of each of [`OUTCOMES`] in charts.
const CLASSES: [&str; OUTCOMES.len()] = ["good", "soft", "bad", "warn", "ink"];

/// How many files of certificates are shown, so that the page stays small.
const MOST_FILES: usize = 20;

/// What is known of a provider.
struct Health {
    issuer: String,
    bins: Vec<Bin>,
    /// How many of the grants in the sample are of the present settings, and how many there are.
    present: (i64, i64),
    /// How many of them can be renewed.
    renewable: i64,
}

impl Endpoints {
    /// How providers have answered.
    pub(super) async fn providers_page(&self, page: &PageCall<'_>) -> Result<Response<Body>, Refused> {
        let PageCall { call, admin, look, .. } = page;
        let said = |text: AdminText<'_>| page.said(text);
        let days = call.parameter("days").unwrap_or_else(|| "14".to_owned());
        let span = SPANS.iter().find(|(name, _, _)| *name == days);
        let (_, hours, width) = span.ok_or(Refusal::BadRequest("days must be 2 or 14"))?;
        let now = admin.administration.clock.now();
        let mut parts = vec![Part::Text(said(AdminText::ProvidersText))];
        // Of one provider at a time: the charts of several would be a large page.
        let all = healths(admin, *hours, *width, now).await.map_err(Refusal::from)?;
        let number = page_number(call)?;
        let shown = all.get(number - 1).ok_or(Refusal::BadRequest("page must be the number of a provider"))?;
        for (name, _, _) in SPANS.iter().filter(|(name, _, _)| *name != days) {
            let href = format!("{}?days={name}&page={number}", self.admin_href(Place::Providers));
            parts.push(Part::Link(href, said(AdminText::LastDays(name))));
        }
        for (other, health) in (1..).zip(&all).filter(|(other, _)| *other != number) {
            let href = format!("{}?days={days}&page={other}", self.admin_href(Place::Providers));
            parts.push(Part::Link(href, health.issuer.clone()));
        }
        parts.push(Part::Heading(shown.issuer.clone()));
        parts.extend(health_parts(shown, &days, now, look));
        Ok(self.admin_page(page, Place::Providers, AdminText::Providers, &parts))
    }

    /// Which certificates and keys there are, and until when.
    pub(super) async fn keys_page(&self, page: &PageCall<'_>) -> Result<Response<Body>, Refused> {
        let PageCall { admin, look, .. } = page;
        let said = |text: AdminText<'_>| page.said(text);
        let certificates: Vec<_> = self
            .certificates()
            .into_iter()
            .map(|(file, until)| {
                let until = until.map_or_else(|| said(AdminText::Unknown), |at| said(AdminText::Expires(&words::time(at))));
                (file.into(), Line::own(until))
            })
            .collect();
        let mut parts = vec![Part::Heading(said(AdminText::Certificates))];
        parts.push(if certificates.is_empty() { Part::Text(said(AdminText::NoCertificates)) } else { Part::Facts(certificates) });
        let files: Vec<_> = admin.certificate_files.iter().map(CertificateFile::now).collect();
        if !files.is_empty() {
            parts.push(Part::Heading(said(AdminText::OtherCertificates)));
            parts.push(Part::Facts(files.iter().take(MOST_FILES).map(|file| file_fact(file, look)).collect()));
            let more = files.len().saturating_sub(MOST_FILES);
            parts.extend((more > 0).then(|| Part::Text(look.text(Text::More(more)).into_owned())));
        }
        parts.push(Part::Heading(said(AdminText::EncryptionKeys)));
        parts.push(Part::Text(said(AdminText::EncryptionKeysText)));
        let keys = keys(admin).await.map_err(Refusal::from)?;
        let role = |key: &KeyInUse| match (key.is_sealing, key.is_known) {
            (true, _) => AdminText::KeySeals(key.grants),
            (false, true) => AdminText::KeyOpens(key.grants),
            (false, false) => AdminText::KeyMissing(key.grants),
        };
        parts.push(Part::Facts(keys.iter().map(|key| (Line::own(&key.id), Line::own(said(role(key))))).collect()));
        for provider in admin.administration.sign_out.providers.iter() {
            parts.push(Part::Heading(said(AdminText::KeysOf(provider.issuer()))));
            let (keys, fetched_at) = provider_keys(provider);
            parts.push(Part::Text(match fetched_at {
                Some(at) => said(AdminText::KeysFetched(&words::time(at))),
                None => said(AdminText::KeysNotFetched),
            }));
            let name = |key: &ProviderKey| {
                let names = [key.id.clone(), key.algorithm.clone()].into_iter().flatten().collect::<Vec<_>>();
                if names.is_empty() { said(AdminText::Unnamed) } else { names.join(" · ") }
            };
            let end = |key: &ProviderKey| {
                key.ends_at.map_or_else(|| said(AdminText::NoEnd), |at| said(AdminText::Expires(&words::time(at))))
            };
            let more = keys.len().saturating_sub(MOST_KEYS);
            let facts = keys.iter().take(MOST_KEYS).map(|key| (name(key).into(), Line::own(end(key)))).collect::<Vec<_>>();
            parts.extend((!facts.is_empty()).then_some(Part::Facts(facts)));
            parts.extend((more > 0).then(|| Part::Text(look.text(Text::More(more)).into_owned())));
        }
        Ok(self.admin_page(page, Place::Keys, AdminText::Keys, &parts))
    }

    /// The files of the certificates that are served, and when each expires.
    fn certificates(&self) -> Vec<(String, Option<Timestamp>)> {
        self.components.health.certificates.as_ref().map(|certificates| certificates.expiries()).unwrap_or_default()
    }

    /// The same for programs.
    pub(super) async fn keys_json(&self, admin: &Administrators) -> Result<Value, Refusal> {
        let certificates = self
            .certificates()
            .into_iter()
            .map(|(file, until)| json!({ "file": file, "expiresAt": until.map(Timestamp::seconds) }));
        let keys = keys(admin)
            .await?
            .into_iter()
            .map(|key| json!({ "key": key.id, "seals": key.is_sealing, "known": key.is_known, "sampledGrants": key.grants }));
        let of_provider = |provider: &std::sync::Arc<Provider>| {
            let (keys, fetched_at) = provider_keys(provider);
            let key = |key: ProviderKey| json!({ "key": key.id, "algorithm": key.algorithm, "certificateExpiresAt": key.ends_at.map(Timestamp::seconds) });
            json!({
                "issuer": provider.issuer(), "fetchedAt": fetched_at.map(Timestamp::seconds),
                "keys": keys.into_iter().map(key).collect::<Vec<_>>(),
            })
        };
        let files = admin.certificate_files.iter().map(CertificateFile::now).map(|file| {
            json!({
                "file": file.file.display().to_string(), "use": file.used_as.name(), "expiresAt": file.expires_at.map(Timestamp::seconds),
            })
        });
        Ok(json!({
            "certificates": certificates.collect::<Vec<_>>(), "otherCertificates": files.collect::<Vec<_>>(), "encryptionKeys": keys.collect::<Vec<_>>(),
            "providerKeys": admin.administration.sign_out.providers.iter().map(of_provider).collect::<Vec<_>>(),
        }))
    }
}

/// A file of certificates: what it is for, and until when.
fn file_fact(file: &CertificateFile, look: &Look<'_>) -> (Line, Line) {
    let said = |text: AdminText<'_>| text.said(look.language).into_owned();
    let used_as = match file.used_as {
        CertificateUse::Client => AdminText::ClientCertificate,
        CertificateUse::Signing => AdminText::SigningCertificate,
        CertificateUse::Trusted => AdminText::TrustedCertificates,
    };
    let until = file.expires_at.map_or_else(|| said(AdminText::Unknown), |at| said(AdminText::Expires(&words::time(at))));
    (file.file.display().to_string().into(), Line::own(format!("{} · {until}", said(used_as))))
}

/// Providers for programs: each with its hours.
pub(super) async fn providers_json(admin: &Administrators) -> Result<Value, Refusal> {
    let now = admin.administration.clock.now();
    let bin = |bin: &Bin| {
        let bound = |percent| bin.quantile(percent).map(Latency::bound);
        let outcomes: serde_json::Map<_, _> =
            OUTCOMES.iter().zip(bin.outcomes).map(|(name, count)| ((*name).to_owned(), count.into())).collect();
        json!({
            "from": bin.from.seconds(), "calls": bin.calls(), "outcomes": outcomes, "answeredPercent": bin.answered(),
            "medianMilliseconds": bound(50).map(|(bound, _)| bound), "medianIsLonger": bound(50).is_some_and(|(_, is_longer)| is_longer),
            "p95Milliseconds": bound(95).map(|(bound, _)| bound), "p95IsLonger": bound(95).is_some_and(|(_, is_longer)| is_longer),
        })
    };
    let healths = healths(admin, 14 * 24, 1, now).await?;
    let provider = |health: &Health| {
        json!({
            "issuer": health.issuer,
            "sampledGrants": health.present.1, "ofPresentSettings": health.present.0, "renewable": health.renewable,
            "hours": health.bins.iter().filter(|bin| bin.calls() > 0).map(bin).collect::<Vec<_>>(),
        })
    };
    Ok(json!({ "providers": healths.iter().map(provider).collect::<Vec<_>>() }))
}

async fn healths(admin: &Administrators, hours: i64, width: i64, now: Timestamp) -> Result<Vec<Health>, StoreError> {
    let administration = &admin.administration;
    // Bins begin at whole multiples of their width, so that they do not move while one looks.
    let last = now.0.div_euclid(width * HOUR) * width * HOUR;
    let since = Timestamp(last - (hours - width) * HOUR);
    let rows = administration.store.provider_hours(since).await?;
    let sample = administration.store.sample_grants().await?;
    let health = |provider: &std::sync::Arc<Provider>| {
        let own: Vec<&GrantSample> = sample.iter().filter(|grants| grants.registration() == provider.registration()).collect();
        let count = |is_meant: &dyn Fn(&GrantSample) -> bool| {
            own.iter().filter(|grants| is_meant(grants)).map(|grants| grants.grants).sum::<i64>()
        };
        Health {
            issuer: provider.issuer().to_owned(),
            bins: bins(&rows, provider.registration(), since, now, width * HOUR),
            present: (count(&|grants| grants.fingerprint == provider.fingerprint().as_str()), count(&|_| true)),
            renewable: count(&|grants| grants.is_renewable),
        }
    };
    Ok(administration.sign_out.providers.iter().map(health).collect())
}

fn health_parts(health: &Health, days: &str, now: Timestamp, look: &Look<'_>) -> Vec<Part> {
    let said = |text: AdminText<'_>| text.said(look.language).into_owned();
    let all = total(&health.bins);
    let (present, sampled) = health.present;
    let mut parts = vec![Part::Facts(
        [
            (AdminText::PresentSettings, AdminText::PartOf(present, sampled)),
            (AdminText::WithRefreshToken, AdminText::PartOf(health.renewable, sampled)),
        ]
        .map(|(name, value)| (Line::own(said(name)), Line::own(said(value))))
        .into(),
    )];
    let Some(answered) = all.answered() else {
        parts.push(Part::Text(said(AdminText::NoCalls(days))));
        return parts;
    };
    let ms = |time: Option<Latency>| match time {
        None => said(AdminText::Unknown),
        Some(Latency::Within(bound)) => format!("{bound} ms"),
        Some(Latency::Beyond(bound)) => said(AdminText::MoreThan(bound)),
    };
    let (median, slow) = (ms(all.quantile(50)), ms(all.quantile(95)));
    parts.push(Part::Text(said(AdminText::HealthSays { days, calls: all.calls(), answered, median: &median, slow: &slow })));
    let first = health.bins.first().map_or(now, |bin| bin.from);
    let ends = || (words::time(first), words::time(now));
    let names = OUTCOMES.map(|outcome| said(outcome_name(outcome)));
    let series = (0..OUTCOMES.len()).zip(CLASSES).zip(names.clone()).filter_map(|((place, class), name)| {
        let values: Vec<_> = health.bins.iter().map(|bin| bin.outcomes.get(place).copied()).collect();
        values.iter().flatten().any(|count| *count > 0).then_some((Series { class, values }, name))
    });
    let most = health.bins.iter().map(Bin::calls).max().unwrap_or(0);
    parts.push(Part::Chart(Chart {
        says: said(AdminText::ChartOutcomes),
        ends: ends(),
        most: said(AdminText::MostCalls(most)),
        series: series.collect(),
        kind: ChartKind::Bars,
    }));
    let line = |class, percent| Series {
        class,
        values: health.bins.iter().map(|bin| bin.quantile(percent).map(|time| time.bound().0)).collect(),
    };
    let slowest = health.bins.iter().filter_map(|bin| bin.quantile(95)).max();
    parts.push(Part::Chart(Chart {
        says: said(AdminText::ChartLatency),
        ends: ends(),
        most: said(AdminText::MostMilliseconds(&ms(slowest))),
        series: vec![(line("dashes", 95), said(AdminText::Slow)), (line("stroke", 50), said(AdminText::Median))],
        kind: ChartKind::Lines,
    }));
    parts.push(table(health, &names, look));
    parts
}

/// What the charts show, day by day.
fn table(health: &Health, names: &[String], look: &Look<'_>) -> Part {
    let said = |text: AdminText<'_>| text.said(look.language).into_owned();
    let day = |at: Timestamp| words::time(at).chars().take(10).collect::<String>();
    let mut rows = Vec::new();
    for of_day in health.bins.chunk_by(|one, other| day(one.from) == day(other.from)) {
        let sum = total(of_day);
        let from = of_day.first().map_or(Timestamp(0), |bin| bin.from);
        let figure = |time: Option<Latency>| match time {
            None => "–".to_owned(),
            Some(Latency::Within(bound)) => bound.to_string(),
            Some(Latency::Beyond(bound)) => format!("> {bound}"),
        };
        let mut row = vec![day(from), sum.calls().to_string()];
        row.extend(sum.outcomes.map(|count| count.to_string()));
        row.extend([figure(sum.quantile(50)), figure(sum.quantile(95))]);
        rows.push(row);
    }
    let mut heads = vec![said(AdminText::Day), said(AdminText::Calls)];
    heads.extend(names.iter().cloned());
    heads.extend([format!("{} (ms)", said(AdminText::Median)), format!("{} (ms)", said(AdminText::Slow))]);
    Part::Table { caption: said(AdminText::AsTable), heads, rows }
}

fn outcome_name(outcome: &str) -> AdminText<'static> {
    match outcome {
        "ok" => AdminText::OutcomeOk,
        "dead" => AdminText::OutcomeDead,
        "config" => AdminText::OutcomeConfig,
        "retry" => AdminText::OutcomeRetry,
        _ => AdminText::OutcomeAmbiguous,
    }
}

/// So many keys of a provider are shown, so that the page stays small.
const MOST_KEYS: usize = 10;

/// A key with which a provider signs.
struct ProviderKey {
    id: Option<String>,
    algorithm: Option<String>,
    /// When its certificate ends, if it has one.
    ends_at: Option<Timestamp>,
}

/// The keys of a provider, and when this replica fetched them.
fn provider_keys(provider: &Provider) -> (Vec<ProviderKey>, Option<Timestamp>) {
    let (keys, fetched_at) = provider.published_keys();
    let key = |PublishedKey { id, algorithm, certificate }| ProviderKey {
        id,
        algorithm,
        ends_at: certificate.as_deref().and_then(end_of_certificate),
    };
    (keys.into_iter().map(key).collect(), fetched_at)
}

/// A key that encrypts tokens.
struct KeyInUse {
    id: String,
    is_sealing: bool,
    is_known: bool,
    /// How many of the first thousand grants have a token under it.
    grants: i64,
}

/// How many grants are looked at. Their ids are random, so that a key of many grants is among them.
const SAMPLED: i64 = 1000;

async fn keys(admin: &Administrators) -> Result<Vec<KeyInUse>, StoreError> {
    let administration = &admin.administration;
    let sealing = administration.store.sealing_key();
    let (found, _) = administration.store.key_usage(None, SAMPLED).await?;
    let count = |key| found.iter().find(|used| used.key == key).map_or(0, |used| used.grants);
    let own = administration.sign_out.keys.ids().map(|key| KeyInUse {
        id: key.to_string(),
        is_sealing: key == sealing,
        is_known: true,
        grants: count(key),
    });
    let missing = found.iter().filter(|used| !used.is_known).map(|used| KeyInUse {
        id: used.key.to_string(),
        is_sealing: false,
        is_known: false,
        grants: used.grants,
    });
    Ok(own.chain(missing).collect())
}
