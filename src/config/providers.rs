//! Reads all providers: of the environment, at the top of the file, and of `[[provider]]` tables.

use super::{
    Problems, oidc,
    pages::SIGN_IN_TEXT,
    policy,
    provider_settings::ProviderSettings,
    provider_table::{KEYS, NAME, PROVIDER_EMAIL_DOMAINS, TEXT, is_at_the_top, is_setting, settings},
    raw::ProviderTable,
    reader::Reader,
    route_reader::RouteReader,
    table, values,
};
use crate::oidc::DEFAULT_NAME;

/// All providers, the one at the top first; `None` with problems.
pub(super) fn read(reader: &mut Reader<'_>) -> Option<Vec<ProviderSettings>> {
    let raw = reader.raw();
    let text = reader.owned(&SIGN_IN_TEXT);
    let at_the_top =
        is_at_the_top(raw).then(|| one(reader, DEFAULT_NAME.to_owned()).map(|settings| ProviderSettings { text, ..settings }));
    let mut all: Vec<Option<ProviderSettings>> = at_the_top.into_iter().collect();
    let mut names: Vec<String> = all.iter().map(|_| DEFAULT_NAME.to_owned()).collect();
    for (at, table) in raw.providers.iter().enumerate() {
        let mut own = RouteReader { kind: "provider", number: at + 1, given: &table.own, problems: &mut reader.problems };
        if !own.is_given(&NAME) {
            own.problem(&NAME, "is required");
        }
        let name = own.parsed(&NAME, name);
        if name.as_ref().is_some_and(|name| names.contains(name)) {
            own.problem(&NAME, "is another provider's too");
        }
        let text = own.parsed(&TEXT, |text| Ok(text.to_owned()));
        let email_domains = own.domains();
        refuse_unknown_keys(&mut own);
        let settings = of_table(reader, table, name.clone().unwrap_or_default());
        names.extend(name);
        all.push(settings.map(|settings| ProviderSettings {
            text,
            email_domains: email_domains.unwrap_or_default(),
            ..settings
        }));
    }
    let mut all = all.into_iter().collect::<Option<Vec<_>>>()?;
    check_together(&all, &mut reader.problems);
    guard_addresses(&mut all);
    Some(all)
}

/// One provider, by the settings of `reader`.
fn one(reader: &mut Reader<'_>, name: String) -> Option<ProviderSettings> {
    let trust = oidc::provider_trust(reader);
    let (oidc, policy) = (oidc::read(reader, name), policy::read(reader));
    Some(ProviderSettings { oidc: oidc?, policy, trust, text: None, email_domains: Vec::new() })
}

/// The provider of a table, which is read as the top of a file with nothing else in it.
fn of_table(reader: &mut Reader<'_>, table: &ProviderTable, name: String) -> Option<ProviderSettings> {
    let mut inner = Reader::of_table(table, reader.raw(), std::mem::take(&mut reader.problems));
    let settings = one(&mut inner, name);
    let Reader { problems, warnings, .. } = inner;
    reader.problems = problems;
    reader.warnings.extend(warnings);
    settings
}

impl RouteReader<'_> {
    fn domains(&mut self) -> Option<Vec<String>> {
        self.parsed(&PROVIDER_EMAIL_DOMAINS, |text| match values::list(text) {
            list if list.is_empty() => Err("is set and names nothing".to_owned()),
            list => values::domains(&list),
        })
    }
}

/// Reports keys that are neither a table's own nor a setting of a provider.
fn refuse_unknown_keys(own: &mut RouteReader<'_>) {
    for name in own.given.keys().filter(|name| !KEYS.iter().any(|key| key.name == **name) && !is_setting(name)) {
        let message = if table::is_known(name) {
            "is one for all providers, and belongs to the top of the file, or into the environment".to_owned()
        } else {
            let known = settings().chain(KEYS.iter().copied()).map(|key| key.name);
            let near = known.min_by_key(|known| strsim::damerau_levenshtein(known, name));
            let hint = near.filter(|near| strsim::damerau_levenshtein(near, name) <= 3 || near.ends_with(name.as_str()));
            format!(
                "there is no such setting of a provider{}",
                hint.map(|near| format!("; did you mean {near}?")).unwrap_or_default()
            )
        };
        own.problems.add(format!("provider[{}].{name}", own.number), message);
    }
}

fn name(text: &str) -> Result<String, String> {
    let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'_');
    if (1..=32).contains(&text.len()) && text.bytes().all(is_plain) {
        Ok(text.to_owned())
    } else {
        Err("must be at most 32 lower-case letters, digits, - and _".to_owned())
    }
}

/// Reports what several providers have that only one can have.
fn check_together(all: &[ProviderSettings], problems: &mut Problems) {
    for (at, one) in all.iter().enumerate() {
        for other in all.iter().take(at) {
            let key = |key: &str| format!("provider {}: {key}", one.oidc.name);
            if (&one.oidc.issuer, &one.oidc.client_id) == (&other.oidc.issuer, &other.oidc.client_id) {
                problems.add(key("oidc_client_id"), format!("is that of provider {} at the same issuer", other.oidc.name));
            }
            if let Some(domain) = one.email_domains.iter().find(|domain| other.email_domains.contains(domain)) {
                problems
                    .add(key("email_domains"), format!("has {domain}, which is a domain of provider {} too", other.oidc.name));
            }
        }
    }
}

/// Has no provider's users let in by an address of another's.
fn guard_addresses(all: &mut [ProviderSettings]) {
    let domains: Vec<_> = all.iter().map(|provider| provider.email_domains.clone()).collect();
    for (at, provider) in all.iter_mut().enumerate() {
        let of_others = domains.iter().enumerate().filter(|(other, _)| *other != at).flat_map(|(_, domains)| domains.clone());
        provider.policy.domains_of_others = of_others.collect();
    }
}
