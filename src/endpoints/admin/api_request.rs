//! What a program asks of the API: a table of paths and methods, and the parameters that each takes. Pure.

use http::Method;
use serde::Deserialize;
use url::form_urlencoded;

use super::{
    grant_id,
    lists::{filter, searchable},
};
use crate::{
    administration::{Filter, ListPlace, parse_event_place},
    clock::Timestamp,
    grant::GrantId,
    refusal::Refusal,
    store::{EventFilter, EventPlace},
};

/// An entry of the table, which the OpenAPI document describes.
pub(super) struct ApiPath {
    /// The path, with the names of what stands in it.
    pub(super) template: &'static str,
    /// The methods.
    pub(super) methods: &'static [Method],
    /// What is asked by them.
    make: fn(Asked<'_>) -> Result<ApiCall, Refusal>,
}

const READ: &[Method] = &[Method::GET, Method::HEAD];
const POST: &[Method] = &[Method::POST];
const DELETE: &[Method] = &[Method::DELETE];

/// The paths of the API.
pub(super) const PATHS: &[ApiPath] = &[
    ApiPath { template: "/openapi.json", methods: READ, make: |asked| asked.alone(ApiCall::Document) },
    ApiPath { template: "/sessions", methods: READ, make: |asked| sessions(asked.query).map(ApiCall::Sessions) },
    ApiPath { template: "/sessions/{session}", methods: READ, make: |asked| asked.alone(ApiCall::Session(asked.session()?)) },
    ApiPath {
        template: "/sessions/{session}",
        methods: DELETE,
        make: |asked| asked.alone(ApiCall::EndSession(asked.session()?)),
    },
    ApiPath { template: "/grants/{grant}", methods: READ, make: |asked| grant(asked) },
    ApiPath { template: "/grants/{grant}/renew", methods: POST, make: |asked| asked.alone(ApiCall::Renew(asked.grant()?)) },
    ApiPath { template: "/grants/{grant}/end_user", methods: POST, make: |asked| asked.alone(ApiCall::EndUser(asked.grant()?)) },
    ApiPath { template: "/history", methods: READ, make: |asked| history(asked.query).map(ApiCall::History) },
    ApiPath { template: "/audit", methods: READ, make: |asked| audit(asked.query).map(ApiCall::Audit) },
    ApiPath { template: "/providers", methods: READ, make: |asked| asked.alone(ApiCall::Providers) },
    ApiPath { template: "/keys", methods: READ, make: |asked| asked.alone(ApiCall::Keys) },
    ApiPath { template: "/everyone/end", methods: POST, make: |asked| asked.alone(ApiCall::EndEveryone) },
];

/// What stands in a request.
#[derive(Clone, Copy)]
struct Asked<'a> {
    /// What stands in its path where the template has a name.
    value: &'a str,
    query: &'a str,
}

impl Asked<'_> {
    fn grant(self) -> Result<GrantId, Refusal> {
        grant_id(self.value).ok_or(Refusal::NoSuchPage)
    }

    fn session(self) -> Result<String, Refusal> {
        // Half of its hash, which is as long as a grant's identifier.
        self.grant().map(|_| self.value.to_owned())
    }

    /// This, which takes no parameters.
    fn alone(self, call: ApiCall) -> Result<ApiCall, Refusal> {
        parameters(self.query, &[]).map(|[]| call)
    }
}

/// What is asked.
#[derive(Debug, PartialEq)]
pub(super) enum ApiCall {
    Document,
    Sessions(SessionQuery),
    Session(String),
    EndSession(String),
    Grant(GrantId, EventPlace),
    Renew(GrantId),
    EndUser(GrantId),
    History(HistoryQuery),
    Audit(EventPlace),
    Providers,
    Keys,
    EndEveryone,
}

/// Which sessions are listed.
#[derive(Debug, PartialEq)]
pub(super) struct SessionQuery {
    /// Whose, if those of some are searched for.
    pub(super) name: Option<String>,
    pub(super) filter: Filter,
    pub(super) after: ListPlace,
    pub(super) limit: usize,
}

/// Which part of whose history is read.
#[derive(Debug, PartialEq)]
pub(super) struct HistoryQuery {
    pub(super) name: String,
    /// Of the user of the provider with this issuer alone.
    pub(super) issuer: Option<String>,
    pub(super) filter: EventFilter,
    pub(super) after: EventPlace,
}

/// Why it is not understood.
#[derive(Debug)]
pub(super) enum ApiMistake {
    Refused(Refusal),
    /// The path takes these methods.
    Method(Vec<Method>),
}

impl From<Refusal> for ApiMistake {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

/// How many sessions are listed if it is not said, and at most.
const USUAL: usize = 50;
const MOST: usize = 200;
/// The latest time that is asked about, in seconds: the end of the year 9999.
const LATEST: i64 = 253_402_300_799;

impl ApiCall {
    /// Reads a request.
    pub(super) fn read(method: &Method, path: &str, query: &str) -> Result<Self, ApiMistake> {
        let at_path = || PATHS.iter().filter_map(|entry| Some((entry, matched(entry.template, path)?)));
        let taken: Vec<_> = at_path().flat_map(|(entry, _)| entry.methods).cloned().collect();
        if taken.is_empty() {
            return Err(Refusal::NoSuchPage.into());
        }
        let found = at_path().find(|(entry, _)| entry.methods.contains(method));
        let (entry, value) = found.ok_or(ApiMistake::Method(taken))?;
        Ok((entry.make)(Asked { value, query })?)
    }
}

/// What stands in a path where its template has a name; empty where that has none. `None`: the path is another.
fn matched<'a>(template: &str, path: &'a str) -> Option<&'a str> {
    let Some((before, rest)) = template.split_once('{') else { return (template == path).then_some("") };
    let (_, after) = rest.split_once('}')?;
    let value = path.strip_prefix(before)?.strip_suffix(after)?;
    (!value.is_empty() && !value.contains('/')).then_some(value)
}

/// The values of these parameters, each of which stands once at most, beside no other.
fn parameters<const N: usize>(query: &str, names: &[&str; N]) -> Result<[Option<String>; N], Refusal> {
    let mut found = [const { None }; N];
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        let slot = names.iter().position(|known| *known == name).and_then(|at| found.get_mut(at));
        let Some(slot) = slot else { return Err(Refusal::BadRequest("the query has an unknown parameter")) };
        if slot.replace(value.into_owned()).is_some() {
            return Err(Refusal::BadRequest("a parameter of the query stands twice"));
        }
    }
    Ok(found)
}

fn sessions(query: &str) -> Result<SessionQuery, Refusal> {
    let [name, show, issuer, group, after, limit] = parameters(query, &["name", "show", "issuer", "group", "after", "limit"])?;
    for text in [&name, &issuer, &group].into_iter().flatten() {
        searchable(text)?;
        if text.is_empty() {
            return Err(Refusal::BadRequest("a parameter of the query is empty"));
        }
    }
    let limit = match limit.map(|text| text.parse()) {
        None => USUAL,
        Some(Ok(limit @ 1..=MOST)) => limit,
        Some(_) => return Err(Refusal::BadRequest("limit must be a number from 1 to 200")),
    };
    let after = match after.as_deref().map(ListPlace::parse) {
        None => ListPlace::START,
        Some(Some(position)) => position,
        Some(None) => return Err(Refusal::BadRequest("after must be next of another part of the list")),
    };
    let shown = filter(show.as_deref().unwrap_or("all"));
    let shown = shown.ok_or(Refusal::BadRequest("show must be all, not_renewable, refused, ended or tokens"))?;
    Ok(SessionQuery { name, filter: Filter { issuer, group, ..shown }, after, limit })
}

fn grant(asked: Asked<'_>) -> Result<ApiCall, Refusal> {
    let [after] = parameters(asked.query, &["after"])?;
    Ok(ApiCall::Grant(asked.grant()?, event_place(after.as_deref())?))
}

fn event_place(after: Option<&str>) -> Result<EventPlace, Refusal> {
    match after.map(parse_event_place) {
        None => Ok(EventPlace::START),
        Some(Some(place)) => Ok(place),
        Some(None) => Err(Refusal::BadRequest("after must be next of another part of the list")),
    }
}

fn history(query: &str) -> Result<HistoryQuery, Refusal> {
    let [name, issuer, show, after] = parameters(query, &["name", "issuer", "show", "after"])?;
    let name = name.filter(|name| !name.is_empty());
    let name = name.ok_or(Refusal::BadRequest("name must say whose history is asked for"))?;
    searchable(&name)?;
    if let Some(issuer) = &issuer {
        searchable(issuer)?;
    }
    let filter = match show.as_deref() {
        None | Some("all") => EventFilter::All,
        Some("ends") => EventFilter::Ends,
        Some("logins") => EventFilter::Logins,
        Some(_) => return Err(Refusal::BadRequest("show must be all, ends or logins")),
    };
    Ok(HistoryQuery { name, issuer: issuer.filter(|issuer| !issuer.is_empty()), filter, after: event_place(after.as_deref())? })
}

fn audit(query: &str) -> Result<EventPlace, Refusal> {
    let [before, after] = parameters(query, &["before", "after"])?;
    let before = match before.map(|text| text.parse::<i64>()) {
        None => EventPlace::START,
        // No event has a number so low, so that none of that time is shown.
        Some(Ok(seconds @ 0..=LATEST)) => EventPlace { at: Timestamp(seconds.saturating_mul(1000)), id: 0 },
        Some(_) => return Err(Refusal::BadRequest("before must be a time in seconds since 1970")),
    };
    let after = event_place(after.as_deref())?;
    Ok(if (before.at, before.id) < (after.at, after.id) { before } else { after })
}

/// What ends everyone's sessions.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Confirmation {
    confirm: String,
}

/// The word that confirms it.
const CONFIRMED: &str = "everyone";

/// Checks that everyone's sessions are meant to end.
///
/// # Errors
/// [`Refusal::BadRequest`].
pub(super) fn check_confirmation(content_type: Option<&str>, body: &[u8]) -> Result<(), Refusal> {
    let is_json = content_type
        .is_some_and(|found| found.split(';').next().is_some_and(|found| found.trim().eq_ignore_ascii_case("application/json")));
    let read = serde_json::from_slice::<Confirmation>(body).ok().filter(|_| is_json);
    let is_meant = read.is_some_and(|read| read.confirm == CONFIRMED);
    let wrong = "the body must be {\"confirm\": \"everyone\"} as application/json";
    if is_meant { Ok(()) } else { Err(Refusal::BadRequest(wrong)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(method: &Method, target: &str) -> Option<ApiCall> {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        ApiCall::read(method, path, query).ok()
    }

    #[test]
    fn each_path_is_one_call_for_each_method() {
        let (id, grant) = ("ab".repeat(16), GrantId([0xab; 16]));
        let get = |target: &str| read(&Method::GET, target);
        let post = |target: &str| read(&Method::POST, target);
        assert_eq!(get("/openapi.json"), Some(ApiCall::Document));
        assert_eq!(get(&format!("/sessions/{id}")), Some(ApiCall::Session(id.clone())));
        assert_eq!(read(&Method::DELETE, &format!("/sessions/{id}")), Some(ApiCall::EndSession(id.clone())));
        assert_eq!(get(&format!("/grants/{id}")), Some(ApiCall::Grant(grant, EventPlace::START)));
        assert_eq!(post(&format!("/grants/{id}/renew")), Some(ApiCall::Renew(grant)));
        assert_eq!(post(&format!("/grants/{id}/end_user")), Some(ApiCall::EndUser(grant)));
        assert_eq!((get("/providers"), get("/keys")), (Some(ApiCall::Providers), Some(ApiCall::Keys)));
        assert_eq!(post("/everyone/end"), Some(ApiCall::EndEveryone));
        let history = |issuer: Option<&str>, filter, after| {
            Some(ApiCall::History(HistoryQuery { name: "ann".into(), issuer: issuer.map(str::to_owned), filter, after }))
        };
        assert_eq!(get("/history?name=ann"), history(None, EventFilter::All, EventPlace::START));
        let place = EventPlace { at: Timestamp(5), id: 3 };
        assert_eq!(get("/history?name=ann&show=ends&issuer=x&after=5-3"), history(Some("x"), EventFilter::Ends, place));
        assert_eq!(get(&format!("/grants/{id}?after=5-3")), Some(ApiCall::Grant(grant, place)));
        assert_eq!(get("/audit?before=2"), Some(ApiCall::Audit(EventPlace { at: Timestamp(2000), id: 0 })));
        for odd in ["", "/", "/sessions/", "/sessions/x", "/grants/", "/grants//renew", "/everyone", "/grants/a/b/renew"] {
            assert_eq!(get(odd).or(post(odd)), None, "{odd}");
        }
        for (path, taken) in [("/audit".to_owned(), "GET HEAD"), (format!("/sessions/{id}"), "GET HEAD DELETE")] {
            let Err(ApiMistake::Method(methods)) = ApiCall::read(&Method::PUT, &path, "") else { panic!("{path} is put") };
            assert_eq!(methods.iter().map(Method::as_str).collect::<Vec<_>>().join(" "), taken);
        }
    }

    #[test]
    fn a_query_is_what_the_document_says_or_refused() {
        let place = format!("1-{}", "ab".repeat(32));
        for good in
            ["", "name=ann", "show=ended&issuer=x&group=y&limit=200", &format!("after={place}"), &format!("name=a&after={place}")]
        {
            assert!(read(&Method::GET, &format!("/sessions?{good}")).is_some(), "{good}");
        }
        for odd in ["x=y", "name=", "name=a&name=b", "name=%00", "limit=0", "limit=201", "limit=x", "show=x", "after=x"] {
            assert_eq!(read(&Method::GET, &format!("/sessions?{odd}")), None, "{odd}");
        }
        for odd in [
            "/history",
            "/history?name=",
            "/history?name=a&show=x",
            "/history?name=a&after=x",
            "/audit?before=x",
            "/audit?before=-1",
            "/audit?after=1",
            "/openapi.json?x=y",
        ] {
            assert_eq!(read(&Method::GET, odd), None, "{odd}");
        }
    }

    #[test]
    fn everyone_is_ended_by_nothing_but_the_word() {
        let check = |content_type, body: &str| check_confirmation(content_type, body.as_bytes()).is_ok();
        assert!(check(Some("application/json; charset=utf-8"), "{\"confirm\":\"everyone\"}"));
        for (content_type, body) in [
            (None, "{\"confirm\":\"everyone\"}"),
            (Some("text/plain"), "{\"confirm\":\"everyone\"}"),
            (Some("application/json"), "{}"),
            (Some("application/json"), ""),
            (Some("application/json"), "{\"confirm\":\"Everyone\"}"),
            (Some("application/json"), "{\"confirm\":\"everyone\",\"x\":1}"),
        ] {
            assert!(!check(content_type, body), "{content_type:?} {body}");
        }
    }
}
